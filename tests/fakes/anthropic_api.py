"""A local HTTP server that behaves like Anthropic's Messages API: it streams, fails on demand and refuses bad requests.

Queue behaviours with `will`, point a client at `base_url`, then assert on `requests`: what was really on the wire.
"""

import asyncio
import itertools
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

from aiohttp import web

Json = dict[str, Any]
ID = re.compile(r"[a-zA-Z0-9_-]+")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
FIELD = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
PIECE = 7  # characters per delta: small enough that words, keys and numbers are cut in two
MODEL = "claude-fake-1"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: Json


@dataclass(frozen=True)
class Part:
    """One content block: how it starts, and the deltas that follow."""

    start: Json
    deltas: tuple[Json, ...] = ()


def text(said: str) -> Part:
    """A text block."""
    return Part({"type": "text", "text": ""}, tuple({"type": "text_delta", "text": piece} for piece in _pieces(said)))


def tool_use(name: str, written: str) -> Part:
    """A tool call whose arguments are `written`, character by character as given: valid JSON or not."""
    deltas = tuple({"type": "input_json_delta", "partial_json": piece} for piece in _pieces(written))
    return Part({"type": "tool_use", "id": f"toolu_{next(_numbers):02}", "name": name, "input": {}}, deltas)


def thinking(thought: str, signature: str) -> Part:
    """A thinking block, signed in its last delta."""
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(thought)]
    return Part(
        {"type": "thinking", "thinking": "", "signature": ""},
        (*deltas, {"type": "signature_delta", "signature": signature}),
    )


@dataclass(frozen=True)
class Streamed:
    """A stream. `cut_after` breaks the line after that many events; `gate` holds it up, pinging, until it is set."""

    parts: tuple[Part, ...] = ()
    stop_reason: str | None = "end_turn"
    usage: Json = field(default_factory=lambda: {"input_tokens": 10, "output_tokens": 1})
    final_usage: Json = field(default_factory=lambda: {"output_tokens": 5})
    cut_after: int | None = None
    gate: asyncio.Event | None = None
    extra: tuple[Json, ...] = ()  # events sent just before the end, such as `error` or kinds yet to be invented
    model: str | None = None  # that answers; None: the one that was asked for

    def events(self, asked: str = MODEL) -> list[Json]:
        """Every event of the stream, in order."""
        model = self.model or asked
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []}
        events: list[Json] = [{"type": "message_start", "message": {**message, "usage": self.usage}}, {"type": "ping"}]
        for index, part in enumerate(self.parts):
            events.append({"type": "content_block_start", "index": index, "content_block": part.start})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in part.deltas]
            events.append({"type": "content_block_stop", "index": index})
        delta = {"stop_reason": self.stop_reason, "stop_sequence": None}
        return [
            *events,
            *self.extra,
            {"type": "message_delta", "delta": delta, "usage": self.final_usage},
            {"type": "message_stop"},
        ]


@dataclass(frozen=True)
class Raw:
    """A 200 whose body is these bytes. `afterwards` is what the line does then: it ends, stays open, or pings on."""

    body: bytes
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    afterwards: Literal["ends", "stays open", "pings on"] = "ends"


@dataclass(frozen=True)
class Refused:
    """An error answer."""

    status: int
    type: str = "api_error"
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    message: str = "no"


Behaviour = Streamed | Raw | Refused


class FakeAnthropic:
    """The server, in `async with`. `tokens` is what it counts for any prompt, `window` the limit of any model."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.base_url = ""
        self.tokens = 100
        self.window = 200_000
        self.otherwise: Behaviour = Refused(
            500, message="nothing was queued"
        )  # what a request gets that nothing is for
        self._behaviours: list[Behaviour] = []
        self._closing = asyncio.Event()

    def will(self, *behaviours: Behaviour) -> None:
        """Queue what the next valid message requests get, one each."""
        self._behaviours += behaviours

    @property
    def messages(self) -> list[Recorded]:
        """The requests to /v1/messages only."""
        return [request for request in self.requests if request.path == "/v1/messages"]

    async def __aenter__(self) -> "FakeAnthropic":
        app = web.Application()
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_get("/v1/models/{id}", self._model)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _record(self, request: web.Request) -> Json:
        body = json.loads(await request.read() or b"{}")
        self.requests.append(Recorded(request.path, dict(request.headers.items()), body))
        return body  # type: ignore[no-any-return]

    async def _count(self, request: web.Request) -> web.Response:
        await self._record(request)
        return web.json_response({"input_tokens": self.tokens})

    async def _model(self, request: web.Request) -> web.Response:
        await self._record(request)
        found = {"type": "model", "id": request.match_info["id"], "display_name": "Fake", "lifecycle": "active"}
        return web.json_response({**found, "created_at": "2026-01-01T00:00:00Z", "max_input_tokens": self.window})

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            return _refusal(Refused(401, "authentication_error", message="no key"))
        if (problem := problem_of(body)) is not None:
            return _refusal(Refused(400, "invalid_request_error", message=problem))
        match self._behaviours.pop(0) if self._behaviours else self.otherwise:
            case Refused() as refused:
                return _refusal(refused)
            case Raw() as raw:
                return await self._raw(request, raw)
            case Streamed() as streamed:
                return await _stream(request, streamed, body["model"])

    async def _raw(self, request: web.Request, raw: Raw) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": raw.content_type, **raw.headers})
        await response.prepare(request)
        await response.write(raw.body)
        while raw.afterwards != "ends" and not self._closing.is_set():
            if raw.afterwards == "pings on":
                await response.write(sse({"type": "ping"}))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await self._closing.wait()
        return response


async def _stream(request: web.Request, streamed: Streamed, asked: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    while streamed.gate is not None and not streamed.gate.is_set():
        await response.write(sse({"type": "ping"}))
        await asyncio.sleep(0)
    for event in streamed.events(asked)[: streamed.cut_after]:
        await response.write(sse(event))
    if streamed.cut_after is not None and request.transport is not None:
        request.transport.close()
    return response


def sse(event: Json) -> bytes:
    """One event on the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _refusal(refused: Refused) -> web.Response:
    error: Json = {"type": refused.type, "message": refused.message}
    if refused.code is not None:
        error["details"] = {"error_code": refused.code}
    body = {"type": "error", "error": error, "request_id": "req_1"}
    return web.json_response(body, status=refused.status, headers=refused.headers)


def _pieces(whole: str) -> list[str]:
    return [whole[start : start + PIECE] for start in range(0, len(whole), PIECE)]


def problem_of(body: Json) -> str | None:
    """Why the API would answer 400 to `body`; None if it would not."""
    try:
        assert body["model"] and body["max_tokens"] > 0, "model and max_tokens are required"
        assert not {"temperature", "top_p", "top_k"} & body.keys(), "sampling parameters are not supported"
        assert body["messages"], "messages: at least one message is required"
        for number, tool in enumerate(body.get("tools", ())):
            _check_tool(f"tools.{number}.custom", tool)
        _check_turns(body["messages"])
        marks = json.dumps(body).count('"cache_control"')
        assert marks <= 4, "at most 4 blocks may have cache_control"
    except (AssertionError, KeyError) as error:
        return str(error)
    return None


def _check_tool(where: str, tool: Json) -> None:
    """The name of a tool, the top of its schema, and the names of all fields in it."""
    assert NAME.fullmatch(tool["name"]), f"{where}.name: does not match {NAME.pattern}"
    schema = tool["input_schema"]
    assert schema.get("type") == "object", f"{where}.input_schema.type: Field required"
    assert not {"oneOf", "anyOf", "allOf"} & schema.keys(), f"{where}.input_schema: no oneOf, allOf, anyOf at the top"
    _check_fields(where, schema)


def _check_fields(where: str, schema: Any) -> None:
    for key, part in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if key == "properties" and isinstance(part, dict):
            assert all(map(FIELD.fullmatch, part)), f"{where}.input_schema.properties: does not match {FIELD.pattern}"
        if isinstance(part, dict | list):
            _check_fields(where, part)


def _check_turns(messages: list[Json]) -> None:
    """Turns alternate from a user's to a user's; each call is answered in the very next turn, before anything else."""
    asked: list[str] = []
    for number, message in enumerate(messages):
        role, blocks = message["role"], message["content"]
        assert role == ("user", "assistant")[number % 2], f"messages.{number}: roles must alternate, first user"
        assert blocks, f"messages.{number}: content must not be empty"
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert sorted(results) == sorted(asked), f"messages.{number}: tool_use and tool_result do not pair"
        assert all(block["type"] == "tool_result" for block in blocks[: len(results)]), "tool_result comes first"
        asked = [_checked(block) for block in blocks if block["type"] == "tool_use"]
        for block in blocks:
            assert block["type"] != "text" or block["text"].strip(), "text blocks must have text"
            empty = not (block.get("text") or block.get("content"))
            assert "cache_control" not in block or not empty, "cache_control cannot be set for empty text blocks"
            assert block["type"] != "thinking" or block["signature"], "thinking: signature is required"
        assert role == "user" or blocks[-1]["type"] != "thinking", "the final block cannot be thinking"
    last = messages[-1]
    assert last["role"] == "user" or last["content"][-1]["type"].startswith("server_"), "prefill is not supported"


def _checked(block: Json) -> str:
    """The id of a call, after its id, name and input were checked."""
    assert ID.fullmatch(block["id"]), f"tool_use.id: {block['id']!r} does not match {ID.pattern}"
    assert NAME.fullmatch(block["name"]) and isinstance(block["input"], dict), "tool_use: bad name or input"
    return str(block["id"])
