"""The content blocks of a streamed answer, put together from their pieces. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from activities.model.provider import AnyBlock, Opaque, Text, ToolCall, read_arguments, strict_json
from activities.storage.canonical import clean_text

VENDOR = "anthropic"  # whose own blocks these are: only they are sent back

# The field that each kind of delta adds to.
FIELDS: Mapping[str, str] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}

# Blocks whose content counts. Of any other kind, one that cannot be kept whole is left out.
_KNOWN = ("text", "tool_use", "thinking", "redacted_thinking")


class Building:
    """One block while it arrives: how it started, the pieces of its growing fields, and whether it has ended."""

    def __init__(self, index: Any, start: dict[str, Any], *, ended: bool = False) -> None:
        self.index = index
        self.start = start
        self.kind = str(start["type"])
        self.ended = ended
        self.is_readable = True
        self._pieces: dict[str, list[str]] = {}

    def add(self, delta: dict[str, Any]) -> None:
        """Take one piece. Raises KeyError for a kind of piece that a block of a known kind cannot have."""
        if delta["type"] == "citations_delta":
            self.start["citations"] = [*(self.start.get("citations") or ()), delta["citation"]]
        elif delta["type"] in FIELDS:
            field = FIELDS[delta["type"]]
            self._pieces.setdefault(field, []).append(delta[field])
        elif self.kind in _KNOWN:
            raise KeyError(f"a {delta['type']} in a block of {self.kind}")
        else:
            self.is_readable = False

    def joined(self, field: str) -> str:
        """The whole text of `field`."""
        return (self.start.get(field) or "") + "".join(self._pieces.get(field, ()))

    def call(self, call_id: str) -> ToolCall:
        """The block as a tool call; arguments that cannot be read make it an invalid one."""
        written = self.joined("partial_json") or json.dumps(self.start.get("input") or {})
        arguments, invalid = read_arguments(written)
        name = self.start["name"]
        if not isinstance(name, str):
            raise TypeError("the name of a tool is no text")
        return ToolCall(call_id=call_id, name=clean_text(name), input=arguments, invalid=invalid)

    def opaque(self) -> Opaque:
        """The block exactly as it came. Raises ValueError if it cannot be stored that way."""
        fields: dict[str, Any] = {field: self.joined(field) for field in self._pieces if field != "partial_json"}
        if "partial_json" in self._pieces:
            fields["input"] = strict_json(self.joined("partial_json") or "{}")
        return Opaque(vendor=VENDOR, block=strict_json(json.dumps({**self.start, **fields})))

    def repeats(self, other: "Building") -> bool:
        """Whether both are one and the same tool call, sent twice: the vendor's id, name and arguments are equal."""
        mine, theirs = self.start, other.start
        same_id = bool(mine.get("id")) and mine.get("id") == theirs.get("id") and mine.get("name") == theirs.get("name")
        return same_id and self.joined("partial_json") == other.joined("partial_json")


def meaning_of(blocks: Sequence[Building], is_whole: bool, step: int) -> Iterable[AnyBlock]:
    """The blocks of an answer, calls numbered `<step>.<index>`. Blank texts and repeated calls are left out.

    In an answer that is not whole a call at its end is dropped: the answer broke off in it.
    """
    if not is_whole and blocks and blocks[-1].kind == "tool_use":
        blocks = blocks[:-1]
    calls: list[Building] = []
    for block in blocks:
        if block.kind == "text":
            if text := block.joined("text"):
                yield Text(text=clean_text(text))
        elif block.kind == "tool_use":
            if not any(block.repeats(call) for call in calls):
                yield block.call(f"{step}.{len(calls)}")
                calls.append(block)
        elif block.is_readable:
            yield block.opaque()
