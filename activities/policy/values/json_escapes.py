"""Reads the escapes of JSON in a text. Pure: no clock, no I/O."""

import json
import re

_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB]{H}{2})\\u([dD][c-fC-F]{H}{2})|u({H}{4})|([\"\\/bfnrt]))".replace("{H}", "[0-9a-fA-F]")
)
_DEPTH = 4  # JSON in JSON in JSON in JSON


def as_shown(text: str) -> str:
    """A result without the escapes of JSON, if it is JSON as a whole: in plain text a backslash is a backslash, and
    whoever got the tool to echo it would have it name what nobody wrote."""
    return _ESCAPE.sub(_unescape, text) if "\\" in text and _is_json(text) else text


def in_all_readings(text: str) -> str:
    """A text with and without its escapes, one reading after the other, so that no escape hides a name."""
    found = [text]
    while "\\" in found[-1] and len(found) <= _DEPTH:
        found.append(_ESCAPE.sub(_unescape, found[-1]))
    return "\n;\n".join(dict.fromkeys(found))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _unescape(escape: re.Match[str]) -> str:
    high, low, code, char = escape.groups()
    if high:
        return bytes.fromhex(high + low).decode("utf-16-be", "replace")
    if code:
        return char if (char := chr(int(code, 16))) > " " else " "
    return char if char in '"\\/' else " "
