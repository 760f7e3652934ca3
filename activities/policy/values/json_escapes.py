"""Replaces the escapes of JSON in a text. Pure: no clock, no I/O."""

import json
import re

_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB]{H}{2})\\u([dD][c-fC-F]{H}{2})|u({H}{4})|([\"\\/bfnrt]))".replace("{H}", "[0-9a-fA-F]")
)
_DEPTH = 4  # levels of JSON inside JSON strings


def unescape_json(text: str) -> str:
    """A result without JSON escapes, if the whole of it is JSON.

    In other text a backslash stays: an attacker who gets a tool to echo escapes must not create names this way.
    """
    return _ESCAPE.sub(_unescape, text) if "\\" in text and _is_json(text) else text


def in_all_readings(text: str) -> str:
    """A text followed by its forms without escapes, unescaped up to _DEPTH times, so that no escape hides a name."""
    readings = [text]
    while "\\" in readings[-1] and len(readings) <= _DEPTH:
        readings.append(_ESCAPE.sub(_unescape, readings[-1]))
    return "\n;\n".join(dict.fromkeys(readings))


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
