"""The HTTP client of decoy runs. It connects only to a loopback address or to the configured decoy host."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from activities.drills.decoy import TICK_SECONDS, path_of

LOOPBACK = frozenset(("127.0.0.1", "localhost"))
CONNECT_SECONDS = 5.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NoDecoy(ValueError):
    """Decoy runs may not connect to this address."""


def decoy_address(url: str, settings: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of the decoy. Raises NoDecoy for any other address."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None or parts.hostname not in LOOPBACK | {settings.get("decoy_host")}:
        raise NoDecoy(f"{parts.hostname} is not the decoy's host; set STANCHION_TOOL_DECOY_HOST to allow another host")
    return parts.hostname, parts.port


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[Connection]:
    """Connect to the decoy; abort the connection at the end, without a clean close."""
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def act_on_decoy(connection: Connection, run_id: str, call_id: str) -> None:
    """Make one effect; once this returns, the decoy has recorded it."""
    reader, writer = connection
    writer.write(f"POST {path_of('hit', run_id, call_id)} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")


async def act_on_decoy_until_cancelled(address: tuple[str, int], run_id: str, call_id: str) -> None:
    """Make one effect every tick, until cancelled."""
    async with connected(address) as connection:
        while True:
            await act_on_decoy(connection, run_id, call_id)
            await asyncio.sleep(TICK_SECONDS)
