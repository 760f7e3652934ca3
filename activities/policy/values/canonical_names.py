"""Parses addresses, hosts, URLs and paths strictly, and puts them in canonical form. Pure: no clock, no I/O.

All rules use this one parser. A value that two programs could parse differently raises `Unreadable`, and the caller
refuses it.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

import idna

from workflows.visible import BLANK, UNSEEN, show_hidden_characters

PORTS = {"http": 80, "https": 443}

LONGEST_CACHED = 320  # recipient fields of at most this many characters are cached; no address in RFC 5321 is longer
LONGEST_HOST = 1_000  # characters as written; DNS allows 253 in encoded form, so longer input is refused early


# A local part of plain atoms. "%" and "!" are refused because old mailers route by them: x%evil.example@acme.example.
_LOCAL = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*")
_QUOTED = re.compile(r'"[^"]*"')
_NAMED = re.compile(r'(?P<name>[^<>]*)<(?P<address>[^<>"]*)>')
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_DOTTED = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
# Escapes of a dot, a slash, a backslash, NUL or "%", which would take effect in a program that decodes once more.
_HIDDEN_STEP = re.compile(r"%(?:2e|2f|5c|00|25)", re.IGNORECASE)
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Unreadable(ValueError):
    """The value cannot be parsed, or programs could parse it differently; the message says what is wrong."""


@dataclass(frozen=True)
class Place:
    """The place that a URL leads to.

    The host is canonical, a default port is filled in, the path is normalised; query and fragment lack "?" and "#".
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str
    fragment: str


def addresses_in(value: str) -> tuple[str, ...]:
    """Every mail address in a recipient field, in lower case, with the domain in ASCII. Raises Unreadable.

    Entries are separated by "," or ";" and have the form `address`, `<address>` or `Name <address>`. Groups, routes,
    comments, quoted local parts, address literals and an "@" within a name are refused, because mailers parse them
    differently.
    """
    return _addresses_in(value) if len(value) > LONGEST_CACHED else _addresses_in_cached(value)


def _addresses_in(value: str) -> tuple[str, ...]:
    _refuse_invisible(value, "a recipient")
    outside = _QUOTED.sub(lambda name: "q" * len(name[0]), value)  # the same length keeps positions valid
    if '"' in outside:
        raise Unreadable("a quotation mark in the recipients is never closed")
    starts = [0, *(at + 1 for at, char in enumerate(outside) if char in ",;")]
    ends = [*(start - 1 for start in starts[1:]), len(value)]
    return tuple(
        dict.fromkeys(_parse_address(value[start:end].strip(" ")) for start, end in zip(starts, ends, strict=True))
    )


_addresses_in_cached = lru_cache(maxsize=4_096)(_addresses_in)  # several rules parse the same recipients


def names_in(value: str) -> tuple[str, ...]:
    """Every entry of a recipient field without mail addresses: channels, groups, people, telephone numbers.

    Raises Unreadable; also if there is an "@" in any Unicode form, because `addresses_in` must parse that.
    """
    _refuse_invisible(value, "a recipient")
    found = tuple(dict.fromkeys(name for entry in re.split("[,;]", value) if (name := entry.strip(" "))))
    if not found or "@" in unicodedata.normalize("NFKC", value):
        raise Unreadable(f"{show_hidden_characters(value)!r} is neither mail addresses nor plain names")
    return found


def domain_of(address: str) -> str:
    """The domain of one address, in lower case and ASCII. Raises Unreadable."""
    found = addresses_in(address)
    if len(found) != 1:
        raise Unreadable(f"{len(found)} addresses where one was expected")
    return found[0].rpartition("@")[2]


@lru_cache(maxsize=4_096)
def host(value: str) -> str:
    """A host in canonical form: a name in lower-case ASCII, dotted IPv4, or IPv6 in brackets. Raises Unreadable.

    Names are encoded by IDNA 2008 with the UTS 46 mapping; one trailing dot is dropped. Other spellings of an IPv4
    address (2130706433, 0x7f.1, 0177.0.0.1, [::ffff:127.0.0.1]) are refused.
    """
    _refuse_invisible(value, "a host")
    if value.startswith("["):
        return _ipv6(value)
    if not value or len(value) > LONGEST_HOST:
        raise Unreadable("a host is empty or too long")
    try:
        name = idna.encode(value, uts46=True).decode("ascii").lower().removesuffix(".")
    except (idna.IDNAError, UnicodeError) as error:
        raise Unreadable(
            f"{show_hidden_characters(value)!r} is no host name: {show_hidden_characters(str(error))}"
        ) from None
    if _NUMERIC.fullmatch(name.rpartition(".")[2]):  # resolvers treat such a name as an IPv4 address
        return _ipv4(value.removesuffix("."))
    return name


def place_of(url: str) -> Place:
    """The place that an http or https URL leads to.

    Raises Unreadable for what browsers and libraries parse differently: user names, backslashes, blanks, an escaped
    host, a port of zero, or empty path segments together with "..".
    """
    _refuse_invisible(url, "a URL")
    if any(char == "\\" or char.isspace() for char in url):
        raise Unreadable("a URL contains a blank or a backslash")
    parts = _URL.fullmatch(url)
    if not parts or parts["scheme"].lower() not in PORTS:
        raise Unreadable(f"{show_hidden_characters(url[:80])!r} is no URL that starts with http:// or https://")
    scheme = parts["scheme"].lower()
    name, port = _authority(parts["authority"], PORTS[scheme])
    query, fragment = (parts["query"] or "")[1:], (parts["fragment"] or "")[1:]
    return Place(scheme, name, port, _url_path(parts["path"] or "/"), query, fragment)


def path_under(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies beneath it, by its text alone; symbolic links are not followed.

    A relative path starts at `root`, which is absolute. Raises Unreadable for NUL and other control or invisible
    characters, "\\", "~", escaped dots and slashes, and characters that some programs treat as a dot or a slash.
    """
    top, steps = _resolve(_segments(root)), _segments(path)
    if not root.startswith("/"):
        raise Unreadable(f"the root {show_hidden_characters(root)!r} is not absolute")
    place = _resolve(steps if path.startswith("/") else [*top, *steps])
    return place[: len(top)] == top


def fold_text(text: str) -> str:
    """`text` in the form used for comparison: NFKC, case folded, without invisible characters."""
    return _visible(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _visible(text)).casefold()))


def fold_text_keeping_case(text: str) -> str:
    """`text` as by `fold_text`, but with upper and lower case kept."""
    return _visible(unicodedata.normalize("NFKC", _visible(text)))


def _visible(text: str) -> str:
    invisible = {ord(char): None for char in set(text) if _is_invisible(char)}
    return text.translate(invisible) if invisible else text


def _is_invisible(char: str) -> bool:
    """Whether `char` is invisible: format characters (zero-width, bidirectional, soft hyphen) and fillers."""
    return char > "~" and (unicodedata.category(char) == "Cf" or bool(BLANK.match(char)))


def _refuse_invisible(value: str, what: str) -> None:
    if value.isascii() and value.isprintable():
        return
    for char in value:
        if not " " <= char <= "~" and (unicodedata.category(char) in UNSEEN or BLANK.match(char)):
            raise Unreadable(f"{what} contains the character U+{ord(char):04X}, which does not show")


def _parse_address(entry: str) -> str:
    address = entry
    if named := _NAMED.fullmatch(entry):
        _check_display_name(named["name"].strip(" "))
        address = named["address"]
    local, at, domain = address.partition("@")
    if not at:
        raise Unreadable(f"{show_hidden_characters(entry)!r} is no mail address")
    if not _LOCAL.fullmatch(local) or len(local) > 64:
        raise Unreadable(
            f"{show_hidden_characters(entry)!r} is no plain mail address: nothing but one name before one @ is read"
        )
    name = "" if "@" in domain or domain.startswith("[") or domain.endswith(".") else host(domain)
    if not name or _DOTTED.fullmatch(name):
        raise Unreadable(f"{show_hidden_characters(entry)!r} is no plain mail address: no domain name follows the @")
    return f"{local.lower()}@{name}"


def _check_display_name(name: str) -> None:
    """Raise Unreadable if a display name could be taken for an address."""
    words = name[1:-1] if _QUOTED.fullmatch(name) else name
    if any(char in '@<>":;()[]\\' for char in unicodedata.normalize("NFKC", words)):
        raise Unreadable(
            f"the name {show_hidden_characters(name)!r} before an address contains a sign that addresses are made of"
        )


def _ipv4(value: str) -> str:
    if not _DOTTED.fullmatch(value) or any(int(part) > 255 for part in value.split(".")):
        raise Unreadable(f"{show_hidden_characters(value)!r} is no plain IPv4 address such as 192.0.2.1")
    return value


def _ipv6(value: str) -> str:
    try:
        address = ipaddress.IPv6Address(value.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise Unreadable(f"{show_hidden_characters(value)!r} is no IPv6 address in brackets") from None
    if not value.endswith("]") or address.scope_id or address.ipv4_mapped:
        raise Unreadable(f"{show_hidden_characters(value)!r} is no plain IPv6 address in brackets")
    return f"[{address.compressed}]"


def _authority(text: str, default: int) -> tuple[str, int]:
    if "@" in text or "%" in text:
        raise Unreadable("a URL has a user name or an escape before its path")
    parts = _AUTHORITY.fullmatch(text)
    if not parts or not parts["host"]:
        raise Unreadable("a URL has no readable host")
    if parts["port"] is None:
        return host(parts["host"]), default
    if not _PORT.fullmatch(parts["port"]) or int(parts["port"]) > 65_535:
        raise Unreadable(f"{show_hidden_characters(parts['port'])!r} is no port")
    return host(parts["host"]), int(parts["port"])


def _url_path(path: str) -> str:
    """A path normalised by RFC 3986, 6.2.2: needless escapes decoded, others in upper case, dot segments resolved."""
    segments = _ESCAPE.sub(_unescape, quote(path, safe="/%:@!$&'()*+,;=-._~")).split("/")[1:]
    if ".." in segments and "" in segments[:-1]:
        raise Unreadable('a URL path has ".." and an empty segment, which servers resolve differently')
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join([*kept, ""] if segments[-1] in (".", "..") else kept)


def _unescape(escape: re.Match[str]) -> str:
    if escape[1] is None:
        raise Unreadable("a URL path has a % that escapes nothing")
    char = chr(int(escape[1], 16))
    if char < " " or char == "\x7f":
        raise Unreadable("a URL path has an escaped control character")
    return char if char in _UNRESERVED else escape[0].upper()


def _segments(path: str) -> list[str]:
    _refuse_invisible(path, "a path")
    folded = unicodedata.normalize("NFKC", path)
    if not path or "\\" in folded or "~" in folded or _HIDDEN_STEP.search(folded):
        raise Unreadable(
            f'the path {show_hidden_characters(path)!r} is empty or contains "\\", "~" or an escaped dot or slash'
        )
    parts, lookalike = path.split("/"), folded.split("/")
    # Servers that cut off parameters treat "..;x" as ".."; programs that normalise treat a full-width dot as a dot.
    if [part in (".", "..") for part in parts] != [part.partition(";")[0] in (".", "..") for part in lookalike]:
        raise Unreadable(
            f"the path {show_hidden_characters(path)!r} contains something that some programs read as . or .. or /"
        )
    return parts


def _resolve(steps: list[str]) -> list[str]:
    found: list[str] = []
    for step in steps:
        if step == "..":
            del found[-1:]  # ".." at the top stays at the top
        elif step not in ("", "."):
            found.append(step)
    return found
