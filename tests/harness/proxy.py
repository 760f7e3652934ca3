"""A TCP proxy in front of Postgres that a test cuts and mends: Postgres is away, without touching the server."""

import asyncio
from contextlib import suppress
from urllib.parse import parse_qs, unquote, urlsplit


class Proxy:
    """Forwards to the server of `url`, once it is up. `cut` drops every connection and those that come after it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._query = {name: values[0] for name, values in parse_qs(self._parts.query).items()}
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self.turned_away = 0  # connections that came while it was cut

    @property
    def url(self) -> str:
        """The database's URL, through here. Valid once the proxy was up for the first time."""
        user = f"{self._parts.username}:{self._parts.password or ''}@"
        return f"postgresql://{user}127.0.0.1:{self._port}{self._parts.path}"

    async def up(self) -> "Proxy":
        """Take connections, on the same port every time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def down(self) -> None:
        """Nobody listens any more."""
        if self._server:
            self._server.close()
            self._server = None
        self._drop()

    def cut(self) -> None:
        """Postgres is away: what is connected is dropped, and so is what connects."""
        self._cut = True
        self._drop()

    def silence(self) -> None:
        """What is connected stays so, and nothing comes through: nobody sees an end of it."""
        self._flows.clear()

    def mend(self) -> None:
        """Postgres is back."""
        self._cut = False
        self._flows.set()

    def _drop(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            self.turned_away += 1
            writer.transport.abort()
            return
        there_reader, there_writer = await self._connect()
        both = (writer, there_writer)
        self._open.update(both)
        try:
            await asyncio.gather(_pump(reader, there_writer, self._flows), _pump(there_reader, writer, self._flows))
        finally:
            self._open.difference_update(both)
            for each in both:
                each.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = unquote(self._query.get("host", self._parts.hostname or "127.0.0.1"))
        port = int(self._query.get("port", self._parts.port or 5432))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            await flows.wait()
            writer.write(data)
            await writer.drain()
    writer.close()
