"""Finds the links in an outgoing text: URLs, hosts with a path, mail addresses. Pure: no clock, no I/O.

In doubt a token counts as a link, because clients may make a link of it.
"""

import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from activities.policy.values.canonical_names import fold_text
from activities.policy.values.text_reading import (
    BARE,
    DOMAINS_TOO,
    TOKEN,
    canonical_addresses,
    is_host_name,
    trimmed,
    whole_url,
)

_BARE_INSIDE = re.compile(r"(?<![\w@./-])" + BARE.pattern, re.IGNORECASE)
_LINK = re.compile(
    r"(?:(?<![^\W_])[a-z][a-z0-9+.-]{1,20}:[/\\]|https?:|(?<![^\W_])(?:javascript|mailto|ftp):"
    r"|(?<![^\W_])(?:(?:tel|sms|callto|facetime|sip):(?=[+*#(\d])|data:(?=[a-z]{1,20}/|[;,]))"
    r"|(?<![\w/:.\\])[/\\]{2}(?=[^\s/\\]{1,255}\.)|(?<![\w@.-])www\d?\.)[^\s<>\"`|^{}“”„«»]+",
    re.IGNORECASE,
)
_TARGET = re.compile(
    r"(?:href|src|srcset|action|background|poster)\s{0,3}=\s{0,3}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))"
    r"|\]\(\s{0,3}<?([^\s()<>]+)",
    re.IGNORECASE,
)
_MAIL = re.compile(r"[^@\s]@[^@\s]{0,255}\.[^\W\d_]{2}")
_NETWORK = re.compile(r"[\d.]+/\d{1,2}[.,;:!?]?")
_DOTS = str.maketrans("\u3002\uff61", "..")  # characters that browsers treat as a dot in a host


def links_in(text: str) -> tuple[str, ...]:
    """Everything in a text that a reader may click or a client may load.

    That is URLs in any markup, hosts without a scheme if a path follows, and mail addresses. Addresses are returned in
    canonical form, the rest as written.
    """
    if not any(sign in text for sign in ":/\\@&.") and text.isascii():
        return ()
    readings = dict.fromkeys((text, html.unescape(text)))
    if not text.isascii():
        readings |= dict.fromkeys([fold_text(reading).translate(_DOTS) for reading in readings])
    return tuple(dict.fromkeys(link for reading in readings for link in _links(reading)))


def _links(text: str) -> Iterator[str]:
    words = text.split()  # no link contains a blank, and only few words have to be searched
    if "%" in text:
        words += [unquote(word) for word in words if "%" in word and "://" not in word]
    likely = filter(_may_contain_link, words) if _may_contain_link(text) else ()
    for found in (found for word in likely for found in _LINK.finditer(word)):
        if not found[0].lower().startswith("mailto:") or "?" in found[0]:
            yield whole_url(found[0])
    if "=" in text or "](" in text:
        for target in _TARGET.finditer(text):
            squeezed = re.sub(r"\s", "", next(filter(None, target.groups()), ""))  # browsers ignore white space here
            yield from (whole_url(found[0]) for found in _LINK.finditer(squeezed))
            if (bare := BARE.fullmatch(squeezed)) and not _is_file(bare) and _is_address_or_name(bare):
                yield squeezed
    for token in (trimmed(token) for word in words if "." in word or "@" in word for token in TOKEN.findall(word)):
        if "@" in token:
            if _MAIL.search(fold_text(token)):
                yield from canonical_addresses(token) or (token,)
        elif "://" not in token:
            yield from (found[0] for found in _BARE_INSIDE.finditer(token) if _is_bare_link(found))


def _may_contain_link(text: str) -> bool:
    return ":" in text or "/" in text or "\\" in text or "www" in text.lower()


def _is_bare_link(found: re.Match[str]) -> bool:
    """Whether clients make a link of a host without a scheme; not of "1.5/2.0", "10.0.0.0/8" or "app.py:12"."""
    if not found["rest"]:
        return bool(found["port"]) and is_host_name(found) and _is_address_or_name(found)
    return not _is_file(found) and _is_address_or_name(found) and not _NETWORK.fullmatch(found[0])


def _is_file(found: re.Match[str]) -> bool:
    return not is_host_name(found) and found["top"].lower() not in DOMAINS_TOO


def _is_address_or_name(found: re.Match[str]) -> bool:
    return not found["top"].isdigit() or found["host"].count(".") == 3
