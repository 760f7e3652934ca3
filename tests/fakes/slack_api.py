"""A local server that behaves like Slack: the Web API methods we use, Socket Mode over a real WebSocket, signed HTTP.

Point a client at `api_url`. `messages` is what channels show; `click` and `submit` do what people do. Blocks and views
are checked as Slack checks them: what it would refuse is refused here.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSCloseCode, web

Json = dict[str, Any]
TEAM = "T0ACME"
ACK_SECONDS = 30.0  # Slack gives up after three; our machine is small and busy
RICH = {"rich_text_section", "rich_text_preformatted"}


@dataclass
class Message:
    """A message as the channel shows it, with all it was before."""

    channel: str
    ts: str
    body: Json
    before: list[Json] = field(default_factory=list)
    deleted: bool = False

    @property
    def shown(self) -> str:
        """All text in it, as people read it, without the buttons."""
        return _read(self.body["blocks"])

    @property
    def buttons(self) -> dict[str, Json]:
        """The buttons, by the last part of their action id."""
        elements = [e for block in self.body["blocks"] if block["type"] == "actions" for e in block["elements"]]
        return {element["action_id"].split(".", 1)[1]: element for element in elements}


@dataclass(frozen=True)
class Opened:
    """A form that somebody sees."""

    user: str
    view: Json


@dataclass
class Trouble:
    """What the next calls of a method get instead of an answer."""

    times: int
    status: int
    error: str
    headers: dict[str, str]


class FakeSlack:
    """The server, in `async with`."""

    bot_token, app_token, signing_secret = "xoxb-fake", "xapp-fake", "signing-secret"

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []  # method, and when by the monotonic clock
        self.messages: list[Message] = []
        self.ephemerals: list[Json] = []
        self.forms: list[Opened] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.connected = 0  # how many sockets there ever were
        self._trouble: dict[str, Trouble] = {}
        self._acks: dict[str, asyncio.Future[Json]] = {}
        self._triggers: dict[str, str] = {}
        self._numbers = itertools.count(1)

    # ── what a test switches ────────────────────────────────────────────────────────────────────────────────────────

    def rate_limit(self, method: str, seconds: int, times: int = 1) -> None:
        """The next calls of a method get a 429."""
        self._trouble[method] = Trouble(times, 429, "ratelimited", {"Retry-After": str(seconds)})

    def fail(self, method: str, times: int = 1, error: str = "internal_error", status: int = 500) -> None:
        """The next calls of a method fail."""
        self._trouble[method] = Trouble(times, status, error, {})

    async def drop_sockets(self) -> None:
        """Close every WebSocket, as Slack does when it moves an app."""
        for socket in list(self.sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    def times(self, method: str) -> list[float]:
        """When a method was called."""
        return [at for called, at in self.calls if called == method]

    # ── what people do ──────────────────────────────────────────────────────────────────────────────────────────────

    async def click(self, message: Message, verb: str, user: str = "ULEE", **how: Any) -> Json:
        """Press a button of a message. `url` sends it over HTTP; `team` is where the user is at home."""
        button = message.buttons[verb]
        trigger = f"trigger.{next(self._numbers)}"
        self._triggers[trigger] = user
        action = {key: button[key] for key in ("type", "action_id", "value") if key in button}
        payload = {
            "type": "block_actions",
            "user": {"id": user, "team_id": how.pop("team", TEAM)},
            "team": {"id": TEAM},
            "channel": {"id": message.channel},
            "container": {"type": "message", "channel_id": message.channel, "message_ts": message.ts},
            "trigger_id": trigger,
            "api_app_id": "A0",
            "actions": [action],
        }
        return await self._deliver(payload, **how)

    async def submit(self, opened: Opened, value: str, user: str | None = None, **how: Any) -> Json:
        """Fill in the one input of a form and submit it; what the app answered."""
        block = next(block for block in opened.view["blocks"] if block["type"] == "input")
        action = block["element"]["action_id"]
        typed = {block["block_id"]: {action: {"type": "plain_text_input", "value": value}}}
        payload = {
            "type": "view_submission",
            "user": {"id": user or opened.user, "team_id": TEAM},
            "team": {"id": TEAM},
            "api_app_id": "A0",
            "view": {**opened.view, "id": "V1", "type": "modal", "state": {"values": typed}},
        }
        return await self._deliver(payload, **how)

    async def _deliver(self, payload: Json, url: str | None = None, secret: str | None = None, age: int = 0) -> Json:
        if url:
            return await self._post(url, payload, secret or self.signing_secret, age)
        envelope = f"envelope-{next(self._numbers)}"
        self._acks[envelope] = asyncio.get_running_loop().create_future()
        sent = {"type": "interactive", "envelope_id": envelope, "accepts_response_payload": True, "payload": payload}
        await self.sockets[-1].send_json(sent)
        return await asyncio.wait_for(self._acks[envelope], ACK_SECONDS)

    async def _post(self, url: str, payload: Json, secret: str, age: int) -> Json:
        body = urlencode({"payload": json.dumps(payload)}).encode()
        at = str(int(time.time()) - age)
        signature = hmac.new(secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
        headers = {
            "X-Slack-Signature": f"v0={signature}",
            "X-Slack-Request-Timestamp": at,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
            text = await answer.text()
            return {"status": answer.status, **(json.loads(text) if text.startswith("{") else {})}

    # ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> "FakeSlack":
        app = web.Application()
        app.router.add_post("/api/{method}", self._call)
        app.router.add_get("/socket", self._socket)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        self.api_url = f"http://127.0.0.1:{self._port}/api/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        self.connected += 1
        await socket.send_json({"type": "hello", "num_connections": len(self.sockets)})
        try:
            async for frame in socket:
                answer = json.loads(frame.data)
                self._acks.pop(answer["envelope_id"]).set_result(answer.get("payload") or {})
        finally:
            self.sockets.remove(socket)
        return socket

    async def _call(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        given = await request.json() if request.content_type == "application/json" else dict(await request.post())
        self.calls.append((method, time.monotonic()))
        trouble = self._trouble.get(method)
        if trouble and trouble.times > 0:
            trouble.times -= 1
            return web.json_response(
                {"ok": False, "error": trouble.error}, status=trouble.status, headers=trouble.headers
            )
        wanted = self.app_token if method == "apps.connections.open" else self.bot_token
        if request.headers.get("Authorization") != f"Bearer {wanted}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if problem := _problem(given):
            return web.json_response({"ok": False, "error": problem})
        return web.json_response(getattr(self, f"_{method.replace('.', '_')}")(given))

    def _auth_test(self, given: Json) -> Json:
        return {"ok": True, "team_id": TEAM, "user_id": "UBOT", "bot_id": "B0", "team": "acme", "url": "https://acme/"}

    def _apps_connections_open(self, given: Json) -> Json:
        return {"ok": True, "url": f"ws://127.0.0.1:{self._port}/socket"}

    def _chat_postMessage(self, given: Json) -> Json:
        ts = f"1700000000.{next(self._numbers):06}"
        self.messages.append(Message(given["channel"], ts, given))
        return {"ok": True, "channel": given["channel"], "ts": ts}

    def _chat_update(self, given: Json) -> Json:
        found = self._message(given)
        if not found:
            return {"ok": False, "error": "message_not_found"}
        found.before.append(found.body)
        found.body = given
        return {"ok": True, "ts": given["ts"], "channel": given["channel"]}

    def _chat_delete(self, given: Json) -> Json:
        if found := self._message(given):
            found.deleted = True
        return {"ok": bool(found), **({} if found else {"error": "message_not_found"})}

    def _chat_postEphemeral(self, given: Json) -> Json:
        self.ephemerals.append(given)
        return {"ok": True, "message_ts": f"1700000000.{next(self._numbers):06}"}

    def _views_open(self, given: Json) -> Json:
        user = self._triggers.pop(given["trigger_id"], None)
        if user is None:
            return {"ok": False, "error": "invalid_trigger_id"}
        self.forms.append(Opened(user, given["view"]))
        return {"ok": True, "view": given["view"]}

    def _message(self, given: Json) -> Message | None:
        at = (given["channel"], given["ts"])
        return next((m for m in self.messages if (m.channel, m.ts) == at and not m.deleted), None)


def told(ephemeral: Json) -> str:
    """What an ephemeral message says."""
    return _read(ephemeral["blocks"])


def _read(blocks: list[Json]) -> str:
    return "\n".join("".join(_texts(block)) for block in blocks if block["type"] != "actions")


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if not isinstance(value, dict):
        return []
    own = [value["text"]] if isinstance(value.get("text"), str) else []
    return own + [text for item in value.values() if isinstance(item, dict | list) for text in _texts(item)]


def _problem(given: Json) -> str | None:
    view = given.get("view") or {}
    blocks = [*given.get("blocks", []), *view.get("blocks", [])]
    titles = [view[name]["text"] for name in ("title", "submit", "close") if name in view]
    if len(blocks) > 50 or any(len(title) > 24 for title in titles) or len(view.get("private_metadata", "")) > 3_000:
        return "invalid_arguments"
    return next(("invalid_blocks" for block in blocks if not valid(block)), None)


def valid(block: Json) -> bool:
    """Whether Slack takes this block."""
    match block["type"]:
        case "header":
            return block["text"]["type"] == "plain_text" and 0 < len(block["text"]["text"]) <= 150
        case "rich_text":
            parts = block["elements"]
            texts = [e for part in parts for e in part["elements"]]
            return (
                bool(texts) and {p["type"] for p in parts} <= RICH and all(0 < len(e["text"]) <= 3_000 for e in texts)
            )
        case "actions":
            return 0 < len(block["elements"]) <= 25 and all(_valid_button(button) for button in block["elements"])
        case "input":
            element = block["element"]
            return element["max_length"] <= 3_000 and len(element.get("initial_value", "")) <= 3_000
    return False


def _valid_button(button: Json) -> bool:
    confirm = button.get("confirm")
    fits = not confirm or (len(confirm["title"]["text"]) <= 100 and len(confirm["text"]["text"]) <= 300)
    known = button.get("style", "primary") in ("primary", "danger")
    return len(button["text"]["text"]) <= 75 and len(button.get("value", "")) <= 2_000 and known and fits
