"""How names are read: one spelling for each thing, and nothing for what two programs would read differently."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.policy.values.canonical_names import (
    Place,
    Unreadable,
    addresses_in,
    domain_of,
    fold_text,
    host,
    path_under,
    place_of,
    show_hidden_characters,
)

RIGHT_TO_LEFT = "\u202e"
ZERO_WIDTH = "\u200b"
CYRILLIC_A = "\u0430"

ADDRESSES = {
    "ana@acme.example": ("ana@acme.example",),
    "Ana <Ana@ACME.example>, bo@x.example; <c.d+e@sub.acme.example>": (
        "ana@acme.example",
        "bo@x.example",
        "c.d+e@sub.acme.example",
    ),
    '"Doe, Ana" <ana@acme.example>': ("ana@acme.example",),
    "José <jose@bücher.example>": ("jose@xn--bcher-kva.example",),
    "a@acme.example, x@evil.example": ("a@acme.example", "x@evil.example"),
    "a@acme.example,x@evil.example": ("a@acme.example", "x@evil.example"),
    "a@acme.example.evil.com": ("a@acme.example.evil.com",),
    f"a@{CYRILLIC_A}cme.example": ("a@xn--cme-5cd.example",),
    "a@acme\u3002example": ("a@acme.example",),
    "A@acme.example; a@ACME.example": ("a@acme.example",),
}
NO_ADDRESSES = [
    "",
    " ",
    "ana",
    "@acme.example",
    "ana@",
    "a@b@acme.example",
    "a@evil.example@acme.example",
    "a@acme.example,",
    ",a@acme.example",
    "a@acme.example x@evil.example",
    "a@acme.example\r\nBcc: x@evil.example",
    "a@acme.example\nx@evil.example",
    "a@acme.example\x00.evil.example",
    f"a@acme.example{RIGHT_TO_LEFT}",
    f"a{ZERO_WIDTH}@acme.example",
    f"Ana{RIGHT_TO_LEFT} <a@acme.example>",
    '"a@acme.example" <x@evil.example>',
    "a@acme.example <x@evil.example>",
    "a\uff20acme.example <x@evil.example>",
    '"x@evil.example,"@acme.example',
    '"x"@acme.example',
    '"Ana <a@acme.example>',
    '"Ana\\" <x@evil.example>',
    "Friends: a@acme.example, x@evil.example;",
    "<@evil.example:a@acme.example>",
    "x%evil.example@acme.example",
    "evil.example!x@acme.example",
    "a@acme.example(x@evil.example)",
    "(c) a@acme.example",
    "a@[192.0.2.1]",
    "a@192.0.2.1",
    "a@2130706433",
    "a@acme.example.",
    "a@acme..example",
    "<a@acme.example",
    "a@acme.example>",
    "<<a@acme.example>>",
    "mailto:a@acme.example",
    "a..b@acme.example",
    ".a@acme.example",
    f"{'a' * 65}@acme.example",
    "a@acme.example\u00a0",
    "a@acme.example\uff0cx@evil.example",
]
HOSTS = {
    "Acme.Example": "acme.example",
    "acme.example.": "acme.example",
    "\uff21CME.example": "acme.example",
    "straße.example": "xn--strae-oqa.example",
    f"{CYRILLIC_A}cme.example": "xn--cme-5cd.example",
    "xn--CME-5cd.example": "xn--cme-5cd.example",
    "localhost": "localhost",
    "127.0.0.1": "127.0.0.1",
    "127.0.0.1.": "127.0.0.1",
    "[::1]": "[::1]",
    "[2001:DB8:0:0::1]": "[2001:db8::1]",
    "1.2.3.4.example": "1.2.3.4.example",
}
NO_HOSTS = [
    "",
    ".",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "127.0.0.01",
    "1.2.3.256",
    "1.2.3.4.5",
    "acme.example.0x7f",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1",
    "[::ffff:127.0.0.1]",
    "[fe80::1%eth0]",
    "[::1",
    "::1",
    "[127.0.0.1]",
    "[]",
    "acme..example",
    ".acme.example",
    "acme.example..",
    "acme example",
    "acme.example:443",
    "acme.example/",
    "a@acme.example",
    "%61cme.example",
    "acme.example%00.evil.com",
    "acme\x00.example",
    f"acme{ZERO_WIDTH}.example",
    "ac\u00adme.example",
    f"{RIGHT_TO_LEFT}acme.example",
    "evil.com\uff0f.acme.example",
    "evil.com\u2100.acme.example",
    "acme\\.example",
    "-acme.example",
    "xn--acme.example",
    "*.acme.example",
    "a" * 64 + ".example",
    "a." * 600 + "example",
]
PLACES = {
    "https://acme.example": Place("https", "acme.example", 443, "/", "", ""),
    "HTTP://ACME.example.:8080/A/b?q=1?2#f#g": Place("http", "acme.example", 8080, "/A/b", "q=1?2", "f#g"),
    "https://acme.example/a/./b/../c": Place("https", "acme.example", 443, "/a/c", "", ""),
    "https://acme.example/a/%2e%2E/%70ublic/": Place("https", "acme.example", 443, "/public/", "", ""),
    "https://acme.example/../..": Place("https", "acme.example", 443, "/", "", ""),
    "https://acme.example/a/..": Place("https", "acme.example", 443, "/", "", ""),
    "https://acme.example/a//b": Place("https", "acme.example", 443, "/a//b", "", ""),
    "https://acme.example/%c3%a9": Place("https", "acme.example", 443, "/%C3%A9", "", ""),
    "https://acme.example/é": Place("https", "acme.example", 443, "/%C3%A9", "", ""),
    "https://evil.com#@acme.example": Place("https", "evil.com", 443, "/", "", "@acme.example"),
    "https://evil.com?@acme.example": Place("https", "evil.com", 443, "/", "@acme.example", ""),
    "https://evil.com/@acme.example": Place("https", "evil.com", 443, "/@acme.example", "", ""),
    "https://acme.example.evil.com/": Place("https", "acme.example.evil.com", 443, "/", "", ""),
    "http://[::1]:80/": Place("http", "[::1]", 80, "/", "", ""),
}
NO_PLACES = [
    "",
    "acme.example",
    "//acme.example/",
    "evil.com#@acme.example",
    "ftp://acme.example/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/html,x",
    "https:acme.example",
    "https:/acme.example",
    "https:///acme.example",
    "https://",
    "https://:443/",
    "https://acme.example@evil.com",
    "https://acme.example:pw@evil.com",
    "https://@evil.com",
    "https://acme.example\\@evil.com",
    "https://evil.com\\.acme.example/",
    "https:\\\\acme.example",
    "https://acme.example/a\\..\\b",
    "https://acme.example%2eevil.com",
    "https://%61cme.example/",
    "https://acme.example /",
    " https://acme.example/",
    "https://acme.example/\r\nHost: evil.com",
    "https://acme.example/a\tb",
    "https://acme.example/\u00a0",
    f"https://acme.example/{RIGHT_TO_LEFT}",
    "https://acme.example:0/",
    "https://acme.example:65536/",
    "https://acme.example:/",
    "https://acme.example:08443/",
    "https://acme.example:٤٤٣/",
    "https://acme.example:443:443/",
    "https://acme.example:80@evil.com/",
    "https://[::1]evil.com/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://acme.example/%",
    "https://acme.example/%0d%0aX",
    "https://acme.example/public//../secret",
]
NO_PATHS = [
    "",
    "a\x00b",
    "/srv/data/\x00",
    "..\\x",
    "~/x",
    "~root",
    "/srv/data/~",
    "%2e%2e/x",
    "/srv/data/%2E%2e%2Fx",
    "a%2fb",
    "a%5cb",
    "a%00",
    "%252e%252e/x",
    "..;/x",
    "..;a=b/x",
    "\uff0e\uff0e/x",
    "\u2025/x",
    "a\uff0fb",
    "a\uff3cb",
    "\uff052e\uff052e/x",
    f"..{ZERO_WIDTH}/x",
    "a\nb",
]


@pytest.mark.parametrize("value", ADDRESSES)
def test_every_address_of_a_recipient_field_is_found(value: str) -> None:
    assert addresses_in(value) == ADDRESSES[value]


@pytest.mark.parametrize("value", NO_ADDRESSES)
def test_what_is_not_cleanly_a_list_of_addresses_is_not_read(value: str) -> None:
    with pytest.raises(Unreadable, match=r"\w"):
        addresses_in(value)


def test_the_domain_of_one_address_is_canonical_and_of_two_there_is_none() -> None:
    assert domain_of("Ana <ana@BÜCHER.example>") == "xn--bcher-kva.example"
    with pytest.raises(Unreadable):
        domain_of("a@acme.example, x@evil.example")


@pytest.mark.parametrize("value", HOSTS)
def test_a_host_has_one_spelling(value: str) -> None:
    assert host(value) == HOSTS[value]
    assert host(host(value)) == host(value)


@pytest.mark.parametrize("value", NO_HOSTS)
def test_no_trick_is_read_as_a_host(value: str) -> None:
    with pytest.raises(Unreadable):
        host(value)


@pytest.mark.parametrize("url", PLACES)
def test_a_url_is_read_as_browsers_read_it(url: str) -> None:
    assert place_of(url) == PLACES[url]


@pytest.mark.parametrize("url", NO_PLACES)
def test_a_url_that_could_be_read_in_two_ways_is_not_read(url: str) -> None:
    with pytest.raises(Unreadable):
        place_of(url)


def test_paths_are_compared_step_by_step_and_never_by_prefix() -> None:
    inside = [
        "/srv/data",
        "/srv/data/",
        "/srv/data/a",
        "//srv///data/a",
        "/srv/x/../data/a",
        "a/b",
        ".",
        "a/../b",
        "./a",
    ]
    outside = ["/srv/data2", "/srv/data2/a", "/srv/data/../x", "../x", "a/../../x", "/", "/srv", "..", "/etc/passwd"]
    assert [path for path in inside if not path_under(path, "/srv/data")] == []
    assert [path for path in outside if path_under(path, "/srv/data")] == []
    assert path_under("/anything", "/")


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_that_another_program_could_read_otherwise_is_not_read(path: str) -> None:
    with pytest.raises(Unreadable):
        path_under(path, "/srv/data")


def test_a_root_that_is_not_absolute_is_no_root() -> None:
    with pytest.raises(Unreadable):
        path_under("data/x", "data")


def test_text_is_compared_without_what_does_not_show() -> None:
    assert (
        fold_text(f"Pa\u00adss{ZERO_WIDTH}word{RIGHT_TO_LEFT} \uff21\uff22\uff23 \ufb01 Straße\ufe0f")
        == "password abc fi strasse"
    )
    assert fold_text("K") == fold_text("\u212a") == "k"  # the Kelvin sign


def test_people_are_shown_what_is_there() -> None:
    assert (
        show_hidden_characters(f"a{RIGHT_TO_LEFT}b{ZERO_WIDTH}c\x1b[31m\u00a0\ufeff")
        == "a<U+202E>b<U+200B>c<U+001B>[31m<U+00A0><U+FEFF>"
    )
    assert show_hidden_characters("\U000e0041\u2028\r\ud800\u3164") == "<U+E0041><U+2028><U+000D><U+D800><U+3164>"
    assert show_hidden_characters("two lines\n\tJosé 日本 €") == "two lines\n\tJosé 日本 €"


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────

TEXT = st.text(max_size=40) | st.text(
    st.sampled_from('ab@.,;<>"\\/ %:#?[]()\n\u202e\uff0e\uff20' + CYRILLIC_A), max_size=30
)


def modelled(path: str, root: str) -> bool:
    """The same question, asked of pathlib."""
    found = PurePosixPath("/")
    for part in (PurePosixPath(root) / path).parts[1:]:
        found = found.parent if part == ".." else found / part
    return found.is_relative_to(PurePosixPath(root))


@given(st.lists(st.sampled_from(["..", ".", "", "srv", "data", "data2", "x"]), min_size=1, max_size=8), st.booleans())
def test_paths_agree_with_pathlib(parts: list[str], absolute: bool) -> None:
    path = "/" * absolute + "/".join(parts)
    if path:
        for root in ("/srv/data", "/srv", "/"):
            assert path_under(path, root) == modelled("/" + path.lstrip("/") if path.startswith("/") else path, root)


@given(TEXT)
def test_what_is_read_is_canonical_and_reads_as_itself(text: str) -> None:
    try:
        name = host(text)
    except Unreadable:
        return
    assert name.isascii() and name == name.lower() and host(name) == name
    assert not set(name) & set("@/\\?#% ,;<>\"'")


@given(TEXT)
def test_no_address_is_lost_and_none_is_invented(text: str) -> None:
    try:
        found = addresses_in(text)
    except Unreadable:
        return
    assert len(found) <= text.count("@")
    assert len({*found}) == len(found) >= 1
    assert all(addresses_in(address) == (address,) for address in found)
    assert addresses_in(", ".join(found)) == found


@given(st.sampled_from(["", "user@", "user:pw@", "a.example@", "%40"]), TEXT, TEXT)
def test_no_url_text_leads_to_a_host_that_another_reader_does_not_see(user: str, before: str, after: str) -> None:
    url = f"https://{user}{before}acme.example{after}"
    try:
        place = place_of(url)
    except Unreadable:
        return
    authority = url.removeprefix("https://").partition("/")[0].partition("?")[0].partition("#")[0]
    assert not user and "@" not in authority and "\\" not in url
    if place.host == "acme.example":  # nothing stood before it, and after it came at most a dot, a port or the rest
        assert not before and authority.removeprefix("acme.example")[:1] in ("", ".", ":", "\u3002", "\uff0e")


@given(TEXT)
def test_comparing_text_is_stable_and_showing_it_hides_nothing(text: str) -> None:
    assert fold_text(fold_text(text)) == fold_text(text)
    assert show_hidden_characters(show_hidden_characters(text)) == show_hidden_characters(text)
    assert RIGHT_TO_LEFT not in show_hidden_characters(text) and ZERO_WIDTH not in fold_text(text)
