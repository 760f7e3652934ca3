"""The decoy: a small HTTP service that records the effects that it receives, with the time by its own clock.

    POST /hit/<run>/<call>    one effect
    GET  /slow/<run>/<call>   an endless answer; each chunk counts as an effect while the client is connected

It is plain asyncio, so that the worker needs no web framework for drills.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

TICK_SECONDS = (
    0.05  # between two chunks, and between two hits of a run that acts all the time: the resolution of the figures
)
OK = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Hit:
    """One effect: its run, its call (or `model`), and its time by the decoy's clock."""

    run_id: str
    call_id: str
    at: float


@dataclass
class Decoy:
    """The decoy service, with the effects that it received."""

    hits: list[Hit] = field(default_factory=list)
    url: str = ""

    def now(self) -> float:
        """The time of the decoy's clock, in monotonic seconds."""
        return time.monotonic()

    @asynccontextmanager
    async def serving(self, host: str) -> AsyncIterator["Decoy"]:
        """Serve on a free port. `host`: the name or address by which other machines reach this one."""
        loopback = host in ("127.0.0.1", "localhost")
        server = await asyncio.start_server(self._serve, "127.0.0.1" if loopback else None)
        self.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    def _record_hit(self, path: str) -> None:
        _, _, run_id, call_id = path.split("/")
        self.hits.append(Hit(unquote(run_id), unquote(call_id), self.now()))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                if method == "GET":
                    await self._send_endlessly(path, reader, writer)
                    break
                self._record_hit(path)
                writer.write(OK)
                await writer.drain()
        writer.close()

    async def _send_endlessly(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        disconnected = asyncio.ensure_future(reader.read())
        while not disconnected.done():
            self._record_hit(path)
            writer.write(b"1\r\n.\r\n")
            await writer.drain()
            await asyncio.wait([disconnected], timeout=TICK_SECONDS)


def path_of(kind: str, run_id: str, call_id: str) -> str:
    """The path at which the decoy records a call."""
    return f"/{kind}/{quote(run_id, safe='')}/{quote(call_id, safe='')}"
