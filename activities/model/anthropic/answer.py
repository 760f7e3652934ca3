"""The events of one streamed answer -> Completion. Pure: no client, no I/O.

Gateways in front of the vendor deviate from its API. What has one clear meaning is read; everything else is refused,
once and for good (`Deviation`). Only an answer that was cut off may be asked for again.
"""

from collections.abc import Mapping
from typing import Any

from activities.errors import Transient
from activities.model.anthropic.blocks import Building, meaning_of
from activities.model.anthropic.events import Deviation
from activities.model.anthropic.usage import usage_of
from activities.model.errors import (
    ModelAnswerGarbled,
    ModelBrokeOff,
    error_for,
    is_content_filter,
    model_error,
)
from activities.model.provider import AnyBlock, Completion, StopReason, ToolCall, strict_json
from activities.storage.canonical import clean_text

_STOP_REASONS: Mapping[str, StopReason] = {
    "end_turn": "end_turn",
    "stop_sequence": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_exceeded",
    # What gateways pass through from other vendors, in words whose meaning is the same everywhere.
    "stop": "end_turn",
    "eos": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
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
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

END_OF_STREAM = "[DONE]"  # how OpenAI's dialect ends a stream; some gateways send it in every dialect

# What reading an event of another shape than the API's raises.
_MISSHAPEN = (AttributeError, KeyError, TypeError, ValueError)


class Answer:
    """Puts the events of one streamed answer together."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._model = ""
        self._stop: str | None = None
        self.has_stopped = False  # whether the vendor has said why it stopped
        self._begun: dict[str, Any] = {}  # usage at the beginning
        self._ended: dict[str, Any] = {}  # usage at the end
        self._blocks: list[Building] = []
        self._open: dict[Any, Building] = {}  # by the index that the events name
        self.has_begun = False  # whether the vendor has started an answer, which it may bill
        self.pieces = 0  # events other than pings: while this grows, the model is at work
        self.is_over = False  # whether the vendor has said that this was all: nothing after it is read

    def take(self, data: str) -> None:
        """Take the data of one event; kinds of events that are not known are passed over, as the API asks.

        Raises Deviation, or what an `error` event means.
        """
        if not data or self.is_over:
            return
        self.pieces += 1
        if data.strip() == END_OF_STREAM:
            self.is_over = self.has_stopped
            return
        try:
            self._take(strict_json(data, any_text=True))
        except _MISSHAPEN as error:
            raise Deviation(f"an event that cannot be read: {_named(error)}") from error

    def take_whole(self, body: str) -> None:
        """Take an answer that came as one JSON document although a stream was asked for. Raises as `take`."""
        try:
            message = strict_json(body, any_text=True)
            if message["type"] == "error":
                self._fail(message["error"])
                return
            self._start(message)
            self._ended = message.get("usage") or {}
            self._blocks = [Building(index, block, ended=True) for index, block in enumerate(message["content"])]
            self._stop, self.has_stopped, self.is_over = message["stop_reason"], True, True
        except _MISSHAPEN as error:
            raise Deviation(f"a document that is no message: {_named(error)}") from error

    def _take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "message_start":
                self._start(event["message"])
            case "content_block_start":
                self._open_block(event["index"], event["content_block"])
            case "content_block_delta":
                self._block_for(event["index"], event["delta"]).add(event["delta"])
            case "content_block_stop":
                if (block := self._open.get(event["index"])) is not None:
                    block.ended = True
            case "message_delta":
                self._stop = (event.get("delta") or {}).get("stop_reason") or self._stop
                self.has_stopped = self._stop is not None
                self._ended |= {key: value for key, value in (event.get("usage") or {}).items() if value is not None}
            case "message_stop":
                self.is_over = True
            case "error":
                self._fail(event["error"])
            case "ping":
                self.pieces -= 1

    def _start(self, message: dict[str, Any]) -> None:
        if self.has_begun:
            raise ValueError("a second message begins in the same answer")
        self.has_begun = True
        self._model = str(message.get("model") or "")
        self._begun = {key: value for key, value in (message.get("usage") or {}).items() if value is not None}

    def _open_block(self, index: Any, start: dict[str, Any]) -> None:
        """Some gateways give each block the same index: a block that has ended makes room for the next one."""
        before = self._open.get(index)
        if before is not None and not before.ended:
            raise ValueError(f"two blocks with the index {index!r} are open at once")
        self._open[index] = Building(index, start)
        self._blocks.append(self._open[index])

    def _block_for(self, index: Any, delta: dict[str, Any]) -> Building:
        """The open block. A text that was never announced is a text all the same; any other block is not read."""
        if index not in self._open and delta["type"] == "text_delta":
            self._open_block(index, {"type": "text", "text": ""})
        if self._open[index].ended:
            raise ValueError(f"more of block {index!r} comes after its end")
        return self._open[index]

    def completion(self) -> Completion:
        """The answer, once no more comes. Raises ModelAnswerGarbled if it was cut, Deviation if it is unclear."""
        if not self.is_over and not self.has_stopped:
            raise model_error(ModelAnswerGarbled, "cut off before its end")
        try:
            if not self.has_begun:
                raise ValueError("it ends without a beginning")
            blocks = tuple(meaning_of(self._in_order(), self._is_whole(), self._step))
            usage = usage_of(self._begun, self._ended, has_blocks=bool(blocks))
            stop = self._stop_reason(blocks)
        except _MISSHAPEN as error:
            raise Deviation(f"an answer that cannot be read: {_named(error)}") from error
        return Completion(blocks=blocks, stop_reason=stop, usage=usage, model=clean_text(self._model))

    def _in_order(self) -> list[Building]:
        """The blocks by index, or as they came if an index was used twice or is no number."""
        indices = [block.index for block in self._blocks]
        if len(set(indices)) < len(indices) or not all(type(index) is int for index in indices):
            return self._blocks
        return sorted(self._blocks, key=lambda block: block.index)

    def _is_whole(self) -> bool:
        """Whether the last block can be believed: only a whole turn ends with a call."""
        return _STOP_REASONS.get(str(self._stop), "end_turn") in ("tool_use", "end_turn", "pause_turn")

    def _stop_reason(self, blocks: tuple[AnyBlock, ...]) -> StopReason:
        """Why it stopped. Raises ValueError for a reason that is not known, or for a call that is not there."""
        calls = any(isinstance(block, ToolCall) for block in blocks)
        if self._stop is None:
            return "tool_use" if calls else "end_turn"
        stop = _STOP_REASONS.get(self._stop)
        if stop is None and calls:
            return "tool_use"
        if stop is None:
            raise ValueError(f"it stopped for a reason that is not known: {self._stop[:60]!r}")
        if stop == "tool_use" and not calls:
            raise ValueError("it stopped to use a tool and names none")
        return stop

    def _fail(self, error: dict[str, Any]) -> None:
        """Raise what an `error` event means. A content filter is an answer: the model refuses.

        One rule for billing: once the vendor has begun to answer, the attempt may be billed, whatever the error is.
        """
        kind, said = str(error.get("type")), clean_text(f"{error.get('type')}: {error.get('message')}")
        if is_content_filter(kind, error.get("code"), error.get("message")):
            self._stop, self.has_stopped, self.has_begun, self.is_over = "refusal", True, True, True
            return
        status = _STATUS_BY_TYPE.get(kind)
        meant = model_error(ModelAnswerGarbled, said) if status is None else error_for(status, {}, said)
        raise model_error(ModelBrokeOff, said) if self.has_begun and isinstance(meant, Transient) else meant


def _named(error: Exception) -> str:
    """What was odd, for the message: our own words, or the key that is not there; never a piece of the answer."""
    return clean_text(f"{type(error).__name__}: {error}")[:200]
