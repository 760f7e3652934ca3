"""The events of one streamed answer -> Completion. Pure: no client, no I/O; what does not fit is refused whole."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from activities.errors import StanchionError
from activities.model.errors import ModelAnswerGarbled, build, error_for
from activities.model.provider import (
    AnyBlock,
    Completion,
    Opaque,
    StopReason,
    Text,
    ToolCall,
    Usage,
    read_arguments,
    strict_json,
)
from activities.storage.canonical import clean_text

VENDOR = "anthropic"  # whose own blocks these are: only they are sent back

_STOP_REASONS: Mapping[str, StopReason] = {
    "end_turn": "end_turn",
    "stop_sequence": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_exceeded",
}

# An error inside a stream has a type and no status; these are the statuses the same types have outside of one.
_STATUS_BY_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 504,  # it had begun: unlike outside of a stream, something may have been billed
    "timeout_error": 504,
    "overloaded_error": 529,
}

# What reading an event of another shape than the API's raises.
_MISSHAPEN = (AttributeError, KeyError, TypeError, ValueError)


class Building:
    """One block while it arrives: as it started, the pieces of its growing fields, and whether it has ended."""

    FIELDS: Mapping[str, str] = {
        "text_delta": "text",
        "thinking_delta": "thinking",
        "signature_delta": "signature",
        "input_json_delta": "partial_json",
    }

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.pieces: dict[str, list[str]] = {}
        self.ended = False

    def add(self, delta: dict[str, Any]) -> None:
        """Take one piece. Raises `KeyError` for a kind of piece that is not known and so cannot be kept."""
        if delta["type"] == "citations_delta":
            self.start["citations"] = [*(self.start.get("citations") or ()), delta["citation"]]
            return
        field = self.FIELDS[delta["type"]]
        self.pieces.setdefault(field, []).append(delta[field])

    def joined(self, field: str) -> str:
        """The whole text of `field`."""
        return (self.start.get(field) or "") + "".join(self.pieces.get(field, ()))

    def call(self, call_id: str) -> ToolCall:
        """The block as a tool call; arguments that cannot be read make it an invalid one."""
        written = self.joined("partial_json") or json.dumps(self.start.get("input") or {})
        arguments, invalid = read_arguments(written)
        return ToolCall(call_id=call_id, name=clean_text(self.start["name"]), input=arguments, invalid=invalid)

    def opaque(self) -> Opaque:
        """The block exactly as it came. Raises `ValueError` if it cannot be stored that way."""
        fields = {field: self.joined(field) for field in self.pieces if field != "partial_json"}
        if "partial_json" in self.pieces:
            fields["input"] = strict_json(self.joined("partial_json") or "{}")
        return Opaque(vendor=VENDOR, block=strict_json(json.dumps({**self.start, **fields})))


class Answer:
    """Puts the events of one streamed answer together. Whatever does not fit raises `ModelAnswerGarbled`."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._model = ""
        self._stop: str | None = None
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, Building] = {}
        self.over = False  # whether the API has said that this was all

    def take(self, data: str) -> None:
        """Take the data of one event; kinds of events that are not known are passed over, as the API asks."""
        try:
            self._take(strict_json(data, any_text=True))
        except _MISSHAPEN as error:
            raise build(ModelAnswerGarbled, f"unreadable event: {type(error).__name__}") from error

    def _take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "message_start":
                self._model = event["message"]["model"]
                self._usage |= event["message"]["usage"]
            case "content_block_start":
                self._blocks[event["index"]] = Building(event["content_block"])
            case "content_block_delta":
                self._blocks[event["index"]].add(event["delta"])
            case "content_block_stop":
                self._blocks[event["index"]].ended = True
            case "message_delta":
                self._stop = event["delta"].get("stop_reason") or self._stop
                self._usage |= {key: value for key, value in event["usage"].items() if value is not None}
            case "message_stop":
                self.over = True
            case "error":
                raise _error_in_stream(event["error"])

    def completion(self) -> Completion:
        """The answer, once it is over. Usage that is missing or malformed is garbled too: it cannot be priced."""
        stop = _STOP_REASONS.get(str(self._stop))
        if not self.over or stop is None or not all(block.ended for block in self._blocks.values()):
            raise build(ModelAnswerGarbled, f"cut off, or stopped for a reason that is not known: {self._stop!r}")
        try:
            blocks = tuple(self._read(self._kept(stop)))
            if stop == "tool_use" and not any(isinstance(block, ToolCall) for block in blocks):
                raise ValueError("it stopped for a call and made none")
            return Completion(blocks=blocks, stop_reason=stop, usage=self._tokens(), model=clean_text(self._model))
        except _MISSHAPEN as error:
            raise build(ModelAnswerGarbled, f"unreadable answer: {type(error).__name__}") from error

    def _kept(self, stop: StopReason) -> list[Building]:
        """The blocks in order. Only a whole turn ends with a call: a call that the answer broke off in is dropped."""
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        whole = stop in ("tool_use", "end_turn", "pause_turn")
        return blocks if whole or not blocks or blocks[-1].start["type"] != "tool_use" else blocks[:-1]

    def _read(self, blocks: Iterable[Building]) -> Iterable[AnyBlock]:
        calls = 0
        for block in blocks:
            if block.start["type"] == "text":
                if text := block.joined("text"):
                    yield Text(text=clean_text(text))
            elif block.start["type"] == "tool_use":
                yield block.call(f"{self._step}.{calls}")
                calls += 1
            else:
                yield block.opaque()

    def _tokens(self) -> Usage:
        counts = {
            "input_tokens": self._usage["input_tokens"],
            "output_tokens": self._usage["output_tokens"],
            "cache_read_tokens": self._usage.get("cache_read_input_tokens") or 0,
            "cache_write_tokens": self._usage.get("cache_creation_input_tokens") or 0,
        }
        if not all(type(count) is int and count >= 0 for count in counts.values()):
            raise ValueError("token counts are whole and not negative")
        return Usage.model_validate(counts)


def _error_in_stream(error: dict[str, Any]) -> StanchionError:
    """What an `error` event means: as the same type means outside of a stream, else the answer is garbled."""
    kind, said = str(error.get("type")), clean_text(f"{error.get('type')}: {error.get('message')}")
    status = _STATUS_BY_TYPE.get(kind)
    return build(ModelAnswerGarbled, said) if status is None else error_for(status, {}, said)
