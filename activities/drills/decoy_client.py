"""How decoy runs reach the decoy: plain HTTP, to a loopback address or the one host that this worker was told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from activities.drills.decoy import TICK_SECONDS, path_of

LOOPBACK = frozenset(("127.0.0.1", "localhost"))
CONNECT_SECONDS = 5.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NoDecoy(ValueError):
    """The address is not one that decoys may be sent to."""


def decoy_address(url: str, settings: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of the decoy. Raises NoDecoy: a drill is no way to reach anything else."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None or parts.hostname not in LOOPBACK | {settings.get("decoy_host")}:
        raise NoDecoy(f"{parts.hostname} is not where a decoy is; STANCHION_TOOL_DECOY_HOST names another host")
    return parts.hostname, parts.port


@asynccontextmanager
async def connected(place: tuple[str, int]) -> AsyncIterator[Connection]:
    """A connection that is cut, not closed politely, on the way out."""
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(*place)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def act_on_decoy(connection: Connection, run_id: str, call_id: str) -> None:
    """One effect, seen by the decoy when this returns."""
    reader, writer = connection
    writer.write(f"POST {path_of('hit', run_id, call_id)} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")


async def act_on_decoy_until_cancelled(place: tuple[str, int], run_id: str, call_id: str) -> None:
    """Effect after effect, until cancelled."""
    async with connected(place) as connection:
        while True:
            await act_on_decoy(connection, run_id, call_id)
            await asyncio.sleep(TICK_SECONDS)
