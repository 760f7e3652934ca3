"""The decoy: a small HTTP service that counts what is done to it, by its own clock. It believes nobody.

    POST /hit/<run>/<call>    one effect
    GET  /slow/<run>/<call>   an answer that drips for ever; every drop that the other side is still there for counts

Plain asyncio: the process that drills needs no web framework for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

TICK_SECONDS = 0.05  # between two drops, and between two hits of whoever acts all the time: the figures' grain
OK = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
DRIPS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Hit:
    """One effect: by which run, by which of its calls (or `model`), and when by the decoy's clock."""

    run_id: str
    call_id: str
    at: float


@dataclass
class Decoy:
    """What was done to the decoy."""

    hits: list[Hit] = field(default_factory=list)
    url: str = ""

    def now(self) -> float:
        """Its clock: seconds that never go back."""
        return time.monotonic()

    @asynccontextmanager
    async def serving(self, host: str) -> AsyncIterator["Decoy"]:
        """Serve on a free port; `host` is how others reach this machine."""
        loopback = host in ("127.0.0.1", "localhost")
        server = await asyncio.start_server(self._serve, "127.0.0.1" if loopback else None)
        self.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    def _hit(self, path: str) -> None:
        _, _, run_id, call_id = path.split("/")
        self.hits.append(Hit(unquote(run_id), unquote(call_id), self.now()))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                if method == "GET":
                    await self._drip(path, reader, writer)
                    break
                self._hit(path)
                writer.write(OK)
                await writer.drain()
        writer.close()

    async def _drip(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DRIPS)
        gone = asyncio.ensure_future(reader.read())
        while not gone.done():
            self._hit(path)
            writer.write(b"1\r\n.\r\n")
            await writer.drain()
            await asyncio.wait([gone], timeout=TICK_SECONDS)


def path_of(kind: str, run_id: str, call_id: str) -> str:
    """The path on which a call is counted."""
    return f"/{kind}/{quote(run_id, safe='')}/{quote(call_id, safe='')}"
