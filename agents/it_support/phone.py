"""The phones of the account owners, where one-time codes arrive. In memory only, never in a journal or a log.

    POST /phone/{account}   {"code", "about"}   by the agent's deliverer
    GET  /phone/{account}   {"messages"}        its owner looks at the screen, latest message last

It stands in for a text-message provider, so that the desk can be shown and tested without one. Whoever reaches it can
read every phone: a real provider has no such GET, and the desk needs none.
"""

from collections import defaultdict, deque
from collections.abc import Container

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_MESSAGES = 20  # of one phone: nobody scrolls further back, and memory stays bounded


class TextMessage(BaseModel):
    """What arrives on a phone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(min_length=1, max_length=64, repr=False)
    about: str = Field(max_length=500)


class Phones:
    """The registered phones, one per account."""

    def __init__(self, accounts: Container[str]) -> None:
        self._accounts = accounts
        self._messages: defaultdict[str, deque[TextMessage]] = defaultdict(lambda: deque(maxlen=MOST_MESSAGES))

    def add_routes(self, app: web.Application) -> None:
        """Serve them with `app`."""
        app.router.add_post("/phone/{account}", self._arrives)
        app.router.add_get("/phone/{account}", self._looked_at)

    async def _arrives(self, request: web.Request) -> web.Response:
        try:
            message = TextMessage.model_validate_json(await request.read())
        except ValidationError:
            return web.Response(status=422, text="not a message")  # without its words: they may hold a code
        account = request.match_info["account"]
        if account not in self._accounts:
            return web.Response(status=422, text=f"no phone is registered for {account!r}")
        self._messages[account].append(message)
        return web.Response(status=204)

    async def _looked_at(self, request: web.Request) -> web.Response:
        messages = self._messages.get(request.match_info["account"], ())
        return web.json_response({"messages": [message.model_dump() for message in messages]})
