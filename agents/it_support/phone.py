"""Simulated phones of the account owners, which receive one-time codes. The codes are kept in memory only.

    POST /phone/{account}   {"code", "about"}   sent by `accounts.send_code`
    GET  /phone/{account}   {"messages"}        what the owner sees, latest message last

They replace a text-message provider in demos and tests. Everybody who reaches this service can read every phone; a
real provider has no such GET, and the agent does not use it.
"""

from collections import defaultdict, deque
from collections.abc import Container

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_MESSAGES = 20  # per phone, so that memory stays bounded


class TextMessage(BaseModel):
    """A message on a phone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(min_length=1, max_length=64, repr=False)
    about: str = Field(max_length=500)


class Phones:
    """The registered phones, one per account."""

    def __init__(self, accounts: Container[str]) -> None:
        self._accounts = accounts
        self._messages: defaultdict[str, deque[TextMessage]] = defaultdict(lambda: deque(maxlen=MOST_MESSAGES))

    def add_routes(self, app: web.Application) -> None:
        """Add the routes of the phones to `app`."""
        app.router.add_post("/phone/{account}", self._receive)
        app.router.add_get("/phone/{account}", self._show)

    async def _receive(self, request: web.Request) -> web.Response:
        try:
            message = TextMessage.model_validate_json(await request.read())
        except ValidationError:
            return web.Response(status=422, text="not a message")  # no details, because they may contain a code
        account = request.match_info["account"]
        if account not in self._accounts:
            return web.Response(status=422, text=f"no phone is registered for {account!r}")
        self._messages[account].append(message)
        return web.Response(status=204)

    async def _show(self, request: web.Request) -> web.Response:
        messages = self._messages.get(request.match_info["account"], ())
        return web.json_response({"messages": [message.model_dump() for message in messages]})
