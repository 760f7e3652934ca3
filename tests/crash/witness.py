"""The witness: an HTTP service in the test's own process that outlives every worker and counts what really happened."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Witness:
    """Counts by idempotency key. `hold` keeps back the reply to a key's first request, once the effect has happened."""

    url: str = ""
    effects: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    hold: bool = False
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        """One request of a tool or of a probe."""
        key = (await request.json())["key"]
        match request.path:
            case "/find":
                return web.json_response({"count": self.effects[key]})
            case "/once":
                self.effects[key] = 1
            case "/again":
                self.effects[key] += 1
        self.requests[key] += 1
        if self.hold and self.requests[key] == 1:
            await self.release.wait()
        return web.json_response({"reply": "done"})


@asynccontextmanager
async def witnessing() -> AsyncIterator[Witness]:
    """A witness that answers on a port of its own."""
    witness = Witness()
    app = web.Application()
    app.router.add_post("/{what}", witness.handle)
    runner = web.AppRunner(app, handler_cancellation=False, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    witness.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield witness
    finally:
        witness.release.set()
        await runner.cleanup()
