"""Finds the values in arguments: sensitive values, links, and values that may anchor a call. Pure."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from activities.policy.values.canonical_names import Unreadable, addresses_in, host, names_in, path_under, place_of
from activities.policy.values.introducing_words import introducing_words
from activities.policy.values.links import links_in
from activities.policy.values.text_reading import readable_place, spaced, spaced_with_case
from activities.policy.values.values import Address, Amount, Host, UnreadableValue, Url, Value, Words
from workflows.visible import show_hidden_characters

NAME_LENGTH = 80  # a longer string is prose and anchors nothing


def scalars_in(given: Any, name: str, *, keys: bool) -> Iterator[tuple[str, Any]]:
    """Every scalar in an argument, with the name of its key; with `keys` also the keys themselves."""
    if isinstance(given, Mapping):
        for key, item in given.items():
            if keys:
                yield name, key
            yield from scalars_in(item, str(key), keys=keys)
    elif isinstance(given, list | tuple | set | frozenset):
        for item in given:
            yield from scalars_in(item, name, keys=keys)
    elif given is not None:
        yield name, given


def values_of(kind: str, leaf: Any, names: tuple[str, ...]) -> tuple[Value, ...]:
    """The values in one scalar of an argument of this kind; an UnreadableValue if the scalar cannot be parsed."""
    if kind == "recipient" and leaf == "":
        return ()  # no recipient
    try:
        return _parsed_values(kind, leaf, names)
    except Unreadable:
        return (UnreadableValue(str(leaf)),)


def _parsed_values(kind: str, leaf: Any, names: tuple[str, ...]) -> tuple[Value, ...]:
    """Raises Unreadable."""
    if isinstance(leaf, bool) or not isinstance(leaf, str | int):
        raise Unreadable("neither text nor a whole number")
    cues = introducing_words((*names, kind))
    if kind == "amount":
        return (_amount(leaf, cues),)
    text = str(leaf)
    match kind:
        case "recipient":
            if "@" in text:
                # A display name may contain a link, too.
                in_names = links_of(_ANGLED.sub(" ", text)) if "<" in text else ()
                return tuple(dict.fromkeys((*map(Address, addresses_in(text)), *in_names)))
            return tuple(_words(name, cues) for name in names_in(text))
        case "host":
            return (Host(host(text)),)
        case "url":
            return (Url(text, place_of(text)),)
        case "path":
            path_under(text, "/")  # raises if the path can be parsed in more than one way
            if not _is_stable(text):
                raise Unreadable("a path that other programs spell differently")
            return (Words(text, (spaced_with_case(_normalised_path(text)),), cues, is_path=True, exact=True),)
        case "sql":
            return (_words(text, cues),)
        case _:
            if text != text.strip() or not text.isprintable():
                raise Unreadable("a name with line ends, or with blanks around it")
            return (_words(text, cues, exact=kind == "secret" or any(c.isdigit() for c in text)),)


def _words(text: str, cues: frozenset[str] = frozenset(), *, exact: bool = False) -> Value:
    """Words in the form used for comparison; unreadable if that form differs from what the tool gets.

    For example, an invisible character in a name makes another name.
    """
    if not _is_stable(text):
        return UnreadableValue(text)
    plain = spaced(text)
    iban = re.sub(r"[ -]", "", plain)
    if _IBAN.fullmatch(iban):  # people also write IBANs in groups of four
        return Words(text, (iban, " ".join(re.findall(".{1,4}", iban))), cues)
    return (
        Words(text, (spaced_with_case(text) if exact else plain,), cues, exact=exact)
        if plain
        else UnreadableValue(text)
    )


def _is_stable(text: str) -> bool:
    return text.isascii() or (show_hidden_characters(text) == text and unicodedata.normalize("NFKC", text) == text)


_ANGLED = re.compile(r"<[^<>]*>")
_IBAN = re.compile(r"[a-z]{2}[0-9]{2}[a-z0-9]{11,30}")


def _amount(leaf: str | int, cues: frozenset[str]) -> Value:
    if isinstance(leaf, str) and not (leaf.isascii() and leaf.isdigit() and len(leaf) < 20):
        raise Unreadable("not a whole number of minor units")
    if int(leaf) < 0:
        raise Unreadable("a negative amount")
    return Amount(int(leaf), cues)


def _normalised_path(path: str) -> str:
    """A path without needless steps; ".." at the start of a relative path is kept."""
    steps: list[str] = []
    for step in path.split("/"):
        if step == ".." and steps and steps[-1] != "..":
            steps.pop()
        elif step not in ("", ".") and not (step == ".." and path.startswith("/")):
            steps.append(step)
    return "/" * path.startswith("/") + "/".join(steps)


def links_of(leaf: Any) -> Iterator[Value]:
    """The links and addresses in a text."""
    for link in links_in(leaf) if isinstance(leaf, str) else ():
        yield _link(link)


def _link(link: str) -> Value:
    if place := readable_place(link if "://" in link else f"https://{link}"):
        return Url(link, place)
    try:
        return Address(addresses_in(link)[0])
    except Unreadable:
        return _words(link)


def nameable_value(leaf: Any, names: tuple[str, ...]) -> Value | None:
    """A scalar as a value that a text may name; None if it is a choice from a list, or prose."""
    if isinstance(leaf, bool) or not isinstance(leaf, str | int):
        return None
    text = str(leaf).strip()
    if isinstance(leaf, str) and (len(text) > NAME_LENGTH or not _names_something(text)):
        return None
    return _link(text) if "://" in text or "@" in text else _words(text, introducing_words(names))


_JOINED = re.compile(r"[^\W_][@/._-][^\W_]|^[/@]")
# Choices of several words, as forms and ticket boards offer them.
_CHOICES = frozenset(
    "in progress|on hold|not started|to do|wont fix|won't fix|high priority|low priority|medium priority|very high"
    "|very low|n/a|and/or|yes/no|read only|read write|opt in|opt out|up to date|not applicable|as soon as possible"
    "|follow up|sign in|log in|out of office|work in progress|needs review|in review|not set".split("|")
)


def _names_something(text: str) -> bool:
    if re.sub(r"[_-]", " ", spaced(text)) in _CHOICES:
        return False
    words = text.split()
    several = len(words) >= 3 or (len(words) == 2 and any(word[:1].isupper() for word in words))
    return several or any(c.isdigit() for c in text) or bool(_JOINED.search(text))
