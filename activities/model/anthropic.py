"""Anthropic's Messages API as a provider: one streamed request, no retries of its own, nothing repaired in silence.

Three parts: what is sent (`request_body`), how the events of an answer become blocks (`Answer`), and the call.
The API has no idempotency key: an attempt that broke off may have been billed, and asking again bills again.
"""

import asyncio
import importlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from activities.errors import StanchionError
from activities.model.errors import (
    ModelAnswerGarbled,
    ModelCallsForbidden,
    ModelKeyRejected,
    ModelRequestRejected,
    ModelUnreachable,
    build,
    error_for,
)
from activities.model.provider import (
    AnyBlock,
    Completion,
    Message,
    Opaque,
    Prompt,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    made_safe,
    read_arguments,
    strict_json,
)

if TYPE_CHECKING:
    from anthropic import APIStatusError, AsyncAnthropic

VENDOR = "anthropic"
DEFAULT_BASE_URL = "https://api.anthropic.com"
SILENCE = timedelta(seconds=60)  # the API pings about every 10 s while it streams; six missed pings is a dead line
CONNECT = timedelta(seconds=5)  # a connection that takes longer is retried sooner by Temporal than waited for here

_CACHED = {"type": "ephemeral"}
_WIRE_NAME = re.compile(r"[^a-zA-Z0-9_-]")

# These models check that nothing before a thinking block has changed since it was written, and compaction changes it.
# `drop_block` has the API leave such blocks out instead of refusing the request. Adaptive thinking is their default.
# https://platform.claude.com/docs/en/build-with-claude/preserved-thinking/prefix-checks
_BOUND_THINKING = (
    "claude-fable-5-1",
    "claude-fable-5-2",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
)
_DROP_BLOCKS: Mapping[str, Any] = {
    "extra_headers": {"anthropic-beta": "thinking-binding-controls-2026-08-01"},
    "extra_body": {"thinking": {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}},
}

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
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

# What reading an event of another shape than the API's raises.
_MISSHAPEN = (AttributeError, KeyError, TypeError, ValueError)

# A spend limit answers 429 like a rate limit, but waiting does not help: someone has to raise it.
_SPENT = ("contract_spend_limit_reached", "enforced_spend_limit_reached")


# --- what is sent


def request_body(prompt: Prompt) -> dict[str, Any]:
    """The arguments of `messages.create` for `prompt`, streamed, with cache marks on the system text and the end."""
    body: dict[str, Any] = {
        "model": prompt.model,
        "max_tokens": prompt.max_output_tokens,
        "messages": _messages(prompt.messages),
        "stream": True,
    }
    if prompt.system.strip():
        body["system"] = [{"type": "text", "text": made_safe(prompt.system), "cache_control": _CACHED}]
    if prompt.tools:
        fields = {"name", "description", "input_schema"}
        body["tools"] = [_safe(tool.model_dump(include=fields)) for tool in prompt.tools]
    return {**body, **_DROP_BLOCKS} if prompt.model.startswith(_BOUND_THINKING) else body


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The conversation in turns that alternate, as the API demands; empty turns are left out."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        content = _content(message)
        if content and turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += content
        elif content:
            turns.append({"role": message.role, "content": content})
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")  # results go before anything else
    return _marked(turns)


def _content(message: Message) -> list[dict[str, Any]]:
    """The blocks of one message, without thinking that leads to nothing: the API refuses a turn that ends in it."""
    blocks = [wire for block in message.blocks if (wire := _block(block)) is not None]
    while blocks and blocks[-1]["type"] in ("thinking", "redacted_thinking"):
        blocks.pop()
    return blocks


def _marked(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`turns` with a cache mark on the very last block, so that the next step reads all of this one from the cache."""
    if turns and turns[-1]["content"][-1]["type"] in ("text", "tool_result"):
        turns[-1]["content"][-1] = {**turns[-1]["content"][-1], "cache_control": _CACHED}
    return turns


def _block(block: AnyBlock) -> dict[str, Any] | None:
    """`block` as the API writes it; None for what it does not take: blank text and other vendors' own blocks."""
    match block:
        case Text():
            return {"type": "text", "text": made_safe(block.text)} if block.text.strip() else None
        case ToolCall():
            name = _WIRE_NAME.sub("_", block.name)[:128] or "_"
            return {"type": "tool_use", "id": _wire_id(block.call_id), "name": name, "input": _safe(block.input)}
        case ToolResult():
            result = {"type": "tool_result", "tool_use_id": _wire_id(block.call_id), "content": made_safe(block.text)}
            return {**result, "is_error": True} if block.is_error else result
        case Opaque():
            return dict(block.block) if block.vendor == VENDOR else None


def _wire_id(call_id: str) -> str:
    """Our call id in the letters that the API allows: `3.0` is `call_3_0`."""
    return f"call_{_WIRE_NAME.sub('_', call_id)}"


def _safe(value: Any) -> Any:
    """`value` with every text in it made safe."""
    if isinstance(value, str):
        return made_safe(value)
    if isinstance(value, dict):
        return {_safe(key): _safe(item) for key, item in value.items()}
    return [_safe(item) for item in value] if isinstance(value, list | tuple) else value


# --- what comes back


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
        return ToolCall(call_id=call_id, name=made_safe(self.start["name"]), input=arguments, invalid=invalid)

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
            return Completion(blocks=blocks, stop_reason=stop, usage=self._tokens(), model=made_safe(self._model))
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
                    yield Text(text=made_safe(text))
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
    kind, said = str(error.get("type")), made_safe(f"{error.get('type')}: {error.get('message')}")
    status = _STATUS_BY_TYPE.get(kind)
    return build(ModelAnswerGarbled, said) if status is None else error_for(status, {}, said)


# --- the call


class AnthropicProvider:
    """`anthropic:<model id>`. The key and the address are given by the worker; the environment is not read here."""

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None = None,
        loopback_only: bool = False,
        silence: timedelta = SILENCE,
    ) -> None:
        """`loopback_only` refuses every call that would leave the machine; `silence` is the longest gap in a stream."""
        self._api_key = api_key
        self._base_url = base_url or DEFAULT_BASE_URL
        self._loopback_only = loopback_only
        self._silence = silence
        self._client: AsyncAnthropic | None = None
        self._building = asyncio.Lock()

    async def complete(self, prompt: Prompt, beat: Callable[[], None]) -> Completion:
        """Call the model once. Raises only the errors of `activities.model.errors`; see `Provider`."""
        if self._loopback_only and not is_loopback(self._base_url):
            raise build(ModelCallsForbidden, urlsplit(self._base_url).hostname or self._base_url)
        client = await self._connected()
        body = request_body(prompt)
        from anthropic import AnthropicError, APIConnectionError, APIStatusError
        from httpx2 import HTTPError, TimeoutException

        try:
            return await self._stream(client, body, prompt.step, beat)
        except APIStatusError as error:
            if await _does_not_fit(client, body, error):
                return Completion(blocks=(), stop_reason="context_exceeded", usage=Usage(), model=prompt.model)
            raise _error_for(error) from error
        except (APIConnectionError, TimeoutException) as error:
            raise build(ModelUnreachable, type(error.__cause__ or error).__name__) from error
        except (HTTPError, UnicodeDecodeError) as error:
            raise build(ModelAnswerGarbled, type(error).__name__) from error
        except AnthropicError as error:
            raise build(ModelRequestRejected, str(error)) from error

    async def close(self) -> None:
        """Close the connections; the provider may be used again and then opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _stream(
        self, client: "AsyncAnthropic", body: dict[str, Any], step: int, beat: Callable[[], None]
    ) -> Completion:
        """Send `body` and read the events as they are on the wire: the SDK hides pings and reads arguments loosely."""
        from anthropic import AsyncStream
        from httpx2 import HTTPError

        answer = Answer(step)
        async with client.messages.with_streaming_response.create(**body) as response:
            try:
                async for event in AsyncStream.raw_events(response.http_response):
                    beat()
                    if event.data:
                        answer.take(event.data)
            except HTTPError:
                if not answer.over:  # a line that breaks after the last word costs nothing
                    raise
        return answer.completion()

    async def _connected(self) -> "AsyncAnthropic":
        """The client, built once. The import takes seconds, so it runs beside the event loop and heartbeats go on."""
        async with self._building:
            if self._client is None:
                if not self._api_key:
                    raise build(ModelKeyRejected, "this worker was given no key for anthropic")
                await asyncio.to_thread(importlib.import_module, "anthropic")
                self._client = self._connect(self._api_key)
            return self._client

    def _connect(self, api_key: str) -> "AsyncAnthropic":
        from anthropic import AsyncAnthropic
        from httpx2 import Timeout

        return AsyncAnthropic(
            api_key=api_key,
            base_url=self._base_url,
            max_retries=0,  # retries are Temporal's
            timeout=Timeout(self._silence.total_seconds(), connect=CONNECT.total_seconds()),
            open_telemetry={},  # its spans, without content; given here, so that it reads no environment
        )


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine: `localhost` or a loopback address. Any other name may lead elsewhere."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _does_not_fit(client: "AsyncAnthropic", body: dict[str, Any], error: "APIStatusError") -> bool:
    """Whether a refused prompt is too long, which the API says in words only: a 400 of no further type or code.

    Words are not evidence, so it is measured: the tokens of the prompt (counting is free) and the answer asked for
    against the window of the model. 413 says so by its status. If the measurement fails, the prompt is not too long.
    """
    if error.status_code != 400 or error.error_code is not None:
        return error.status_code == 413
    from anthropic import AnthropicError

    try:
        wanted = {key: body[key] for key in ("model", "messages", "system", "tools") if key in body}
        counted = await client.messages.count_tokens(**wanted)
        window = (await client.models.retrieve(body["model"])).max_input_tokens
    except AnthropicError:
        return False
    return window is not None and counted.input_tokens + body["max_tokens"] > window


def _error_for(error: "APIStatusError") -> StanchionError:
    """What a refused request means, by its status and its code."""
    said = made_safe(f"{error.status_code} {error.type}: {error.api_message}, request {error.request_id}")
    status = 402 if error.error_code in _SPENT else error.status_code
    return error_for(status, error.response.headers, said)
