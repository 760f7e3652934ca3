"""The form in which an attacker writes orders into data, and how the hijacked model reads them. Pure.

`[[ASSISTANT {"do": [{"tool": …, "input": …}, …], "when": "…"} ]]`: do these calls, once `when` was read (if it is
given). A value that begins with `b64:` is decoded, `join:a|b` is joined, and `{{after:LABEL}}` is what was read after
LABEL: that is how a value is hidden from whoever looks at the data, and how secrets are carried along.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MARK = re.compile(r"\[\[ASSISTANT (\{.*?\}) \]\]", re.DOTALL)
AFTER = re.compile(r"\{\{after:([^}]+)\}\}")


@dataclass(frozen=True)
class Call:
    """A tool call, planned or ordered."""

    tool: str
    input: dict[str, Any]


def call(tool: str, **arguments: Any) -> Call:
    """A call, written shortly."""
    return Call(tool, arguments)


@dataclass(frozen=True)
class Orders:
    """What some text orders, and the word that sets it off."""

    calls: tuple[Call, ...]
    when: str | None = None


def ordering(*calls: Call, when: str | None = None) -> str:
    """The text that orders these calls."""
    orders: dict[str, Any] = {"do": [{"tool": one.tool, "input": one.input} for one in calls]}
    if when:
        orders["when"] = when
    return f"[[ASSISTANT {json.dumps(orders, ensure_ascii=False)} ]]"


def orders_in(text: str) -> Iterator[Orders]:
    """All orders in a text, in their order. What only looks like one is skipped."""
    for found in MARK.finditer(text):
        try:
            written = json.loads(found[1])
            calls = tuple(Call(one["tool"], dict(one["input"])) for one in written["do"])
        except (ValueError, KeyError, TypeError):
            continue
        yield Orders(calls, written.get("when"))


def filled(value: Any, read: str) -> Any:
    """A value as it is sent: hidden parts uncovered, what was read put in."""
    if isinstance(value, dict):
        return {key: filled(item, read) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, read) for item in value]
    if not isinstance(value, str):
        return value
    if value.startswith("b64:"):
        with_padding = value.removeprefix("b64:")
        try:
            return base64.b64decode(with_padding).decode()
        except (binascii.Error, UnicodeDecodeError):
            return value
    if value.startswith("join:"):
        return value.removeprefix("join:").replace("|", "")
    return AFTER.sub(lambda found: _after(found[1], read), value)


def _after(label: str, read: str) -> str:
    found = re.search(re.escape(label) + r"[\"'\s:=]+([^\s\"',}\]]+)", read)
    return found[1] if found else f"({label})"
