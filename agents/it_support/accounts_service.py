"""The accounts service: a small system outside Stanchion that the agent acts on, and that counts its effects.

    python -m agents.it_support.accounts_service --port 0 --state journal.jsonl --ready-file ready.json

    POST /reset_password   {"account"}              with an Idempotency-Key; a repeated key changes nothing and gets
    POST /assign_licence   {"account", "product"}   the first answer
    POST /revoke_licence   {"account", "product"}
    POST /install_software {"account", "product"}   on the laptop of the account
    GET  /witness          {"effects", "repeats", "by_tool", "by_account", "keys"}
    POST, GET /phone/...   one-time codes: see phone.py

The service writes each effect to disk before it answers, so its count does not depend on what the agent reports.
"""

import argparse
import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Literal

import yaml
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from agents.it_support.phone import Phones

KNOWN = yaml.safe_load(Path(__file__).with_name("accounts.yaml").read_text(encoding="utf-8"))

Change = Literal["reset_password", "assign_licence", "revoke_licence", "install_software"]
DONE: dict[Change, str] = {
    "reset_password": "the old password is invalid; a one-time link was sent to the registered phone",
    "assign_licence": "the licence is assigned",
    "revoke_licence": "the licence is revoked",
    "install_software": "it is installed on the laptop of the account",
}
CATALOGUE: dict[Change, str] = {  # the key in accounts.yaml that lists the products of a change
    "assign_licence": "products",
    "revoke_licence": "products",
    "install_software": "software",
}


class Order(BaseModel):
    """A requested change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    change: Change
    account: str
    product: str | None = None


class Entry(BaseModel):
    """A line of the journal: an effect, or a repeat if its key occurs on an earlier line."""

    key: str
    order: Order
    reference: str


class Refused(Exception):
    """The service refuses the request, and nothing happened."""


class Journal:
    """The effects by idempotency key, in an append-only file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.effects: dict[str, Entry] = {}
        self.repeats = 0
        self._file = path.open("a+b")
        self._drop_torn_line()
        self._file.seek(0)
        for line in self._file:
            self._count(Entry.model_validate_json(line))

    def record(self, key: str, order: Order) -> tuple[Entry, bool]:
        """Write an entry to disk. Returns the first entry of this key, and whether it is new.

        Raises Refused if the key was used for another order.
        """
        first = self.effects.get(key)
        if first and first.order != order:
            raise Refused("this Idempotency-Key was used for something else")
        entry = first or Entry(key=key, order=order, reference=f"ACC-{len(self.effects) + 1:04}")
        self._file.write(entry.model_dump_json().encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._count(entry)
        return entry, first is None

    def _count(self, entry: Entry) -> None:
        self.repeats += entry.key in self.effects
        self.effects.setdefault(entry.key, entry)

    def _drop_torn_line(self) -> None:
        """Remove an incomplete last line. A crash cut it before the caller got an answer, so it does not count."""
        self._file.seek(0)
        self._file.truncate(self._file.read().rfind(b"\n") + 1)


class AccountsService:
    """The HTTP interface."""

    def __init__(self, journal: Journal, delay: float) -> None:
        self._journal = journal
        self._delay = delay
        self._phones = Phones(KNOWN["accounts"])

    def app(self) -> web.Application:
        """Return the web application with all routes."""
        app = web.Application()
        app.router.add_post("/{change}", self._change)
        app.router.add_get("/witness", self._witness)
        self._phones.add_routes(app)
        return app

    async def _change(self, request: web.Request) -> web.Response:
        try:
            key, order = _parse_request(request, await request.read())
            entry, is_new = self._journal.record(key, order)
        except Refused as error:
            return web.Response(status=422, text=str(error))
        if is_new:
            await asyncio.sleep(self._delay)  # the effect is done but not answered: here the demo kills the caller
        receipt = {"reference": entry.reference, "message": DONE[order.change]}
        return web.json_response(receipt | order.model_dump(include={"account", "product"}))

    async def _witness(self, request: web.Request) -> web.Response:
        effects = self._journal.effects
        return web.json_response(
            {
                "effects": len(effects),
                "repeats": self._journal.repeats,
                "by_tool": Counter(entry.order.change for entry in effects.values()),
                "by_account": Counter(entry.order.account for entry in effects.values()),
                "keys": list(effects),
            }
        )


def _parse_request(request: web.Request, body: bytes) -> tuple[str, Order]:
    key = request.headers.get("Idempotency-Key")
    if not key:
        raise Refused("every change needs an Idempotency-Key")
    try:
        order = Order.model_validate(json.loads(body) | {"change": request.match_info["change"]})
    except (ValidationError, ValueError, TypeError) as error:
        raise Refused(f"not a request this service understands: {error}") from None
    if order.account not in KNOWN["accounts"]:
        raise Refused(f"there is no account {order.account!r}")
    products = KNOWN[CATALOGUE[order.change]] if order.change in CATALOGUE else [None]
    if order.product not in products:
        raise Refused(f"there is no product {order.product!r}; there are: {', '.join(map(str, products))}")
    return key, order


async def serve(journal: Journal, host: str, port: int, ready_file: Path | None, delay: float) -> None:
    """Serve until SIGINT or SIGTERM. Callers are not authenticated, so `host` must not be reachable by others."""
    runner = web.AppRunner(AccountsService(journal, delay).app(), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    _announce(f"http://{host}:{runner.addresses[0][1]}", ready_file)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await runner.cleanup()


def _announce(url: str, ready_file: Path | None) -> None:
    print(json.dumps({"url": url}), flush=True)
    if ready_file:
        draft = ready_file.with_suffix(".draft")
        draft.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
        draft.replace(ready_file)  # atomic, for the process that waits for the file


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="The accounts service of the help desk.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="the journal; a restart goes on from it")
    parser.add_argument("--ready-file", type=Path, help='gets {"url", "pid"} once the service answers')
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between an effect and its answer")
    options = parser.parse_args()
    asyncio.run(serve(Journal(options.state), options.host, options.port, options.ready_file, options.delay))


if __name__ == "__main__":
    main()
