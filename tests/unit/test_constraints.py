"""Constraints: each reads a value as what it is; what cannot be read, or is of another type, does not fit."""

from typing import Any

import pytest

from activities.policy.grants.constraints import Violation
from activities.policy.grants.grants import GrantMatch, match_grants, parse_grants


def check(
    constraint: dict[str, Any], value: Any, kind: str | None = None, origin: str | None = None
) -> GrantMatch | Violation:
    """Whether one value of one argument fits one constraint."""
    kinds, origins = {"it": kind} if kind else {}, {"it": origin} if origin else {}
    return match_grants(parse_grants({"tool": {"it": constraint}})["tool"], {"it": value}, kinds, origins)


def rule(constraint: dict[str, Any], value: Any, kind: str | None = None, origin: str | None = None) -> str:
    """The rule a value violates; empty if it fits."""
    found = check(constraint, value, kind, origin)
    if isinstance(found, GrantMatch):
        return ""
    assert "it" in found.reason
    return found.rule


DOMAINS = {"domains": ["acme.example", "*.partner.example"]}
HOSTS = {"hosts": ["docs.acme.example", "intranet.acme.example:8443"]}


@pytest.mark.parametrize(
    "value",
    [
        "ana@acme.example",
        "Ana <Ana@ACME.Example>, bo@sub.partner.example; c@a.b.partner.example",
        ["ana@acme.example", "bo@sub.partner.example"],
        [],
    ],
)
def test_recipients_of_the_granted_domains_fit(value: Any) -> None:
    assert rule(DOMAINS, value, "recipient") == ""


@pytest.mark.parametrize(
    "value",
    [
        "x@evil.example",
        "a@acme.example, x@evil.example",
        ["a@acme.example", "x@evil.example"],
        "a@acme.example.evil.com",
        "a@sub.acme.example",
        "a@partner.example",
        "a@evilpartner.example",
        "a@xacme.example",
        "a@\u0430cme.example",
        "a@acme.example" + ", b@acme.example" * 40 + ", x@evil.example",
    ],
)
def test_one_recipient_elsewhere_is_one_too_many(value: Any) -> None:
    found = check(DOMAINS, value, "recipient")
    assert isinstance(found, Violation) and found.rule == "grant.domains"
    assert "acme.example, *.partner.example" in found.reason


def test_the_reason_names_the_argument_what_it_is_and_what_is_allowed() -> None:
    found = check(DOMAINS, "a@acme.example" + ", b@acme.example" * 40 + ", x@evil.example", "recipient")
    assert found == Violation(
        "grant.domains", "it is 'x@evil.example'; the grant allows domains acme.example, *.partner.example"
    )


@pytest.mark.parametrize(
    "value", ["", "evil.com#@acme.example <", "a@acme.example\r\nBcc: x@evil.example", "a@b@acme.example"]
)
def test_recipients_that_cannot_be_read_do_not_fit(value: str) -> None:
    assert rule(DOMAINS, value, "recipient") == "grant.unreadable"


@pytest.mark.parametrize("value", [7, True, 1.5, {"a": "ana@acme.example"}, [["ana@acme.example"]], [None]])
@pytest.mark.parametrize(
    "constraint", [DOMAINS, HOSTS, {"under": "/srv"}, {"schemes": ["https"]}, {"tables": ["t"]}, {"one_of": ["x"]}]
)
def test_a_value_of_another_type_violates_a_constraint_on_text(constraint: dict[str, Any], value: Any) -> None:
    assert rule(constraint, value).startswith("grant.")


@pytest.mark.parametrize(
    "url",
    [
        "https://docs.acme.example/x",
        "HTTPS://DOCS.ACME.EXAMPLE:443/",
        "https://docs.acme.example./",
        "https://intranet.acme.example:8443/x",
        ["https://docs.acme.example/a", "https://docs.acme.example/b"],
    ],
)
def test_urls_of_the_granted_hosts_fit(url: Any) -> None:
    assert rule(HOSTS, url, "url") == ""


@pytest.mark.parametrize(
    ("url", "violated"),
    [
        ("http://docs.acme.example/", "grant.schemes"),
        ("https://docs.acme.example:8443/", "grant.hosts"),
        ("https://intranet.acme.example/", "grant.hosts"),
        ("https://docs.acme.example.evil.com/", "grant.hosts"),
        ("https://evil.com/docs.acme.example", "grant.hosts"),
        ("https://evil.com#@docs.acme.example", "grant.hosts"),
        ("https://evil.com?docs.acme.example", "grant.hosts"),
        ("https://xdocs.acme.example/", "grant.hosts"),
        ("https://docs.\u0430cme.example/", "grant.hosts"),
        (["https://docs.acme.example/a", "https://evil.com/b"], "grant.hosts"),
        ("https://docs.acme.example@evil.com/", "grant.unreadable"),
        ("https://docs.acme.example\\@evil.com/", "grant.unreadable"),
        ("https://docs.acme.example%2eevil.com/", "grant.unreadable"),
        ("evil.com#@docs.acme.example", "grant.unreadable"),
        ("docs.acme.example", "grant.unreadable"),
        ("javascript://docs.acme.example/%0aalert(1)", "grant.unreadable"),
        ("https://docs.acme.example/\r\nHost: evil.com", "grant.unreadable"),
    ],
)
def test_urls_that_lead_elsewhere_do_not_fit(url: Any, violated: str) -> None:
    assert rule(HOSTS, url, "url") == violated
    assert rule(HOSTS, url) == violated  # whether or not the tool says that it is a URL


def test_a_scheme_that_is_written_counts_and_brings_its_own_port() -> None:
    both = {"hosts": ["h.example"], "schemes": ["http", "https"]}
    assert [rule(both, url) for url in ("http://h.example/", "https://h.example/", "http://h.example:80/")] == [""] * 3
    assert rule(both, "http://h.example:443/") == "grant.hosts"


def test_a_bare_host_is_compared_with_its_port() -> None:
    assert rule(HOSTS, "DOCS.acme.example.", "host") == rule(HOSTS, "intranet.acme.example:8443", "host") == ""
    for value in ("docs.acme.example:8443", "intranet.acme.example", "evil.com", "docs.acme.example/x", "1.2"):
        assert rule(HOSTS, value, "host"), value
    assert rule(HOSTS | {"schemes": ["https"]}, "docs.acme.example", "host") == "grant.schemes"
    assert rule(HOSTS | {"under": "/"}, "docs.acme.example", "host") == "grant.under"


def test_a_url_lies_under_a_path_only_after_its_dots_are_resolved() -> None:
    public = {"hosts": ["h.example"], "under": "/public"}
    for path in ("/public", "/public/", "/public/a?b=../..", "/x/../public/a", "/%70ublic/a"):
        assert rule(public, f"https://h.example{path}", "url") == "", path
    for path in ("/", "", "/public2", "/public/../x", "/public/%2e%2e/x", "/publi", "/x#/public"):
        assert rule(public, f"https://h.example{path}", "url") == "grant.under", path
    for path in ("/public/..%2fx", "/public/%252e%252e/x", "/public/..;/x", "/public/..%5cx", "/public//../x"):
        assert rule(public, f"https://h.example{path}", "url") == "grant.unreadable", path


def test_a_file_lies_under_its_root() -> None:
    reports = {"under": "/srv/reports"}
    for path in ("/srv/reports/a", "a/b", "/srv/reports/x/../a", ["a", "/srv/reports/b"]):
        assert rule(reports, path, "path") == "", path
    for path in ("/srv/reports2/a", "../x", "/etc/passwd", ["a", "/etc/passwd"], "https://evil.com/a", "file:///a"):
        assert rule(reports, path, "path") == "grant.under", path
    for path in ("~/a", "a\x00", "..\\a", "%2e%2e/a", ""):
        assert rule(reports, path, "path") == "grant.unreadable", path
    assert rule({"under": "/public"}, "https://evil.com/public", "path") == "grant.under"


def test_numbers_are_whole_numbers() -> None:
    amount = {"min": 1, "max": 500}
    assert [rule(amount, value, "amount") for value in (1, 500, [1, 500])] == ["", "", ""]
    assert rule(amount, 0) == rule(amount, -1) == "grant.min"
    assert rule(amount, 501) == rule(amount, [1, 501]) == "grant.max"
    for value in (True, "5", 5.0, float("nan"), float("inf"), {"value": 5}):
        assert rule(amount, value), value
    assert rule({"max": 1}, False) == "grant.max"
    assert rule({"min": 0}, True) == "grant.min"


def test_a_choice_is_of_its_own_type() -> None:
    assert rule({"one_of": ["EUR", 1, True]}, "EUR") == rule({"one_of": [1]}, 1) == rule({"one_of": [True]}, True) == ""
    for choices, value in ((["EUR"], "eur"), (["EUR"], "EUR "), ([1], True), ([True], 1), ([1], 1.0), ([1], "1")):
        assert rule({"one_of": choices}, value) == "grant.one_of", (choices, value)


def test_lengths_are_of_text_lists_and_objects() -> None:
    assert rule({"max_length": 3}, "abc") == rule({"max_length": 3}, ["abc", "abc"]) == ""
    assert rule({"max_length": 3}, "abcd") == rule({"max_length": 3}, ["abc", "abcd"]) == "grant.max_length"
    assert rule({"max_length": 7}, {"a": 1}) == rule({"max_length": 7}, [{"a": 1}, {"b": 2}]) == ""
    assert rule({"max_length": 6}, {"a": 1}) == rule({"max_length": 6}, [{"a": 1}]) == "grant.max_length"
    assert rule({"max_length": 6}, 1) == "grant.max_length"
    assert rule({"max_items": 2}, [{}, {}]) == rule({"max_items": 2}, {"a": 1, "b": 2}) == ""
    assert rule({"max_items": 2}, [1, 2, 3]) == rule({"max_items": 0}, {"a": 1}) == "grant.max_items"
    assert rule({"max_items": 2}, "ab") == rule({"max_items": 2}, 2) == "grant.max_items"


def test_a_value_comes_from_where_the_grant_says() -> None:
    account = {"origin": ["user", "trusted"]}
    assert rule(account, "A-1", "account", "user") == rule(account, "A-1", "account", "trusted") == ""
    for origin in ("untrusted", "model", None):
        assert rule(account, "A-1", "account", origin) == "grant.origin"


def test_an_argument_that_is_not_given_violates_what_matters() -> None:
    for constraint in (DOMAINS, HOSTS, {"under": "/srv"}, {"origin": ["user"]}, {"max": 5}, {"tables": ["t"]}):
        for kind in (None, "recipient"):
            assert rule(constraint, None, kind, "user") == f"grant.{next(iter(constraint))}"
            assert rule({**constraint, "optional": True}, None, kind) == ""
    for constraint in ({"max_length": 5}, {"max_items": 5}, {"one_of": ["a"]}):
        assert rule(constraint, None) == ""
        assert rule(constraint, None, "account", "user") == f"grant.{next(iter(constraint))}"


class Hostile(dict[str, Any]):
    """A value that raises when it is looked at."""

    def __len__(self) -> int:
        raise RuntimeError("look elsewhere")


def test_a_value_that_raises_while_it_is_checked_does_not_fit() -> None:
    assert rule({"max_items": 5}, Hostile()) == "grant.unreadable"
    assert rule({"max_length": 99}, {"x": float("nan")}) == "grant.unreadable"
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert rule({"max_length": 10**9}, [deep]) == "grant.unreadable"


def test_a_reason_shows_hidden_characters_and_no_secrets() -> None:
    hidden = check({"one_of": ["a"]}, "a\u202e")
    assert isinstance(hidden, Violation) and "<U+202E>" in hidden.reason
    for constraint in ({"one_of": ["a"]}, DOMAINS, {"max": 4}):
        secret = check(constraint, "hunter2 hunter2", "secret")
        assert isinstance(secret, Violation) and "hunter2" not in secret.reason
