"""`stanchion up`: starts Temporal, Postgres, the shipped agents and a worker of all roles on a laptop.

Services that run already are used; the others are started. This is a development mode: decisions need no signature
here, and the audit records which ones had none.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from signal import SIGKILL, SIGTERM

from workers.bootstrap import bootstrap
from workers.cli_connection import Session, connect_to
from workers.serve import serve, stop_on_signals
from workers.services import Home, Progress, Services, ServiceUnavailable, ensure_services, stop_services
from workers.services.home import Record
from workers.services.processes import stop, tail_of
from workers.settings import Settings
from workers.shipped import ensure_desk, register_approver, stop_accounts
from workers.worker import ROLES

NAME = "worker"
STARTING = "starting"  # the recorded address of an `up` that does not serve yet
READY_SECONDS = 600.0  # a first start may have to build the Temporal server
STOP_SECONDS = 40.0  # twice the grace period of a worker


@dataclass(frozen=True)
class Address:
    """One line of the table that `up` prints."""

    what: str
    where: str


async def prepare(home: Home, settings: Settings, progress: Progress) -> tuple[Services, Session, Settings]:
    """Start the services and the help desk, and bootstrap them. Does not start a worker.

    Raises ServiceUnavailable, and the errors of `bootstrap`.
    """
    services = await ensure_services(home, progress)
    settings = await ensure_desk(home, settings, services.postgres.url, progress)
    session = await connect_to(services.temporal, services.postgres.url, settings)
    await bootstrap(session, settings, progress)
    if services.postgres.owned:  # no demo approver in a database that others use
        await register_approver(session.database, "default", home)
    return services, session, settings


async def up(home: Home, settings: Settings, progress: Progress) -> tuple[Address, ...] | None:
    """Start everything and serve until Ctrl-C. If another `up` serves already, returns its addresses at once."""
    home.prepare()
    async with home.locked(NAME):  # if two start at once, one serves and the other waits for it
        if home.living(NAME):
            return await _wait_for_addresses(home)
        home.write(NAME, Record.of(os.getpid(), home.root, STARTING))
    try:
        await _serve(home, replace(settings, dangerously_accept_unsigned_decisions=True), progress)
    finally:
        home.forget(NAME)
    progress("Stopping what was started here …")
    await stop_accounts(home)
    await stop_services(home)
    return None


async def _serve(home: Home, settings: Settings, progress: Progress) -> None:
    stop_asked = asyncio.Event()
    stop_on_signals(stop_asked)
    services, session, settings = await prepare(home, settings, progress)
    table = _address_table(services, settings)

    def ready() -> None:
        details = {address.what: address.where for address in table}
        home.write(NAME, Record.of(os.getpid(), home.root, services.temporal.address, details))
        for address in table:
            progress(f"  {address.what:<14} {address.where}")
        progress('Ready. Try: stanchion run it-support "Ana cannot log in (ticket 1)" --watch   ·   Ctrl-C stops')

    try:
        await serve(session, settings, ROLES, ready, stop_asked)
    finally:
        await session.close()


async def _wait_for_addresses(home: Home) -> tuple[Address, ...]:
    """Wait until the other `up` of this home serves; return its addresses. Raises ServiceUnavailable if it ends."""
    async with asyncio.timeout(READY_SECONDS):
        while record := home.living(NAME):
            if record.address != STARTING:
                return addresses_of(record)
            await asyncio.sleep(0.1)
    raise ServiceUnavailable(f"another `stanchion up` ended while it started; its log is {home.log(NAME)}")


async def up_detached(home: Home, progress: Progress) -> tuple[Address, ...]:
    """Start `up` as a separate process and wait until it serves. Raises ServiceUnavailable with the end of its log."""
    home.prepare()
    if home.living(NAME):
        return await _wait_for_addresses(home)
    log = home.log(NAME)
    progress(f"Starting the worker (log: {log}) …")
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workers.cli", "up",
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, "STANCHION_HOME": str(home.root)}, start_new_session=True,
        )  # fmt: skip
    async with asyncio.timeout(READY_SECONDS):
        while True:
            if (record := home.living(NAME)) and record.address != STARTING:
                return addresses_of(record)
            if process.returncode is not None:
                raise ServiceUnavailable(f"`stanchion up` ended with code {process.returncode}:\n{tail_of(log)}")
            await asyncio.sleep(0.1)


async def down(home: Home) -> tuple[str, ...]:
    """Stop all processes of this home, the worker first. Returns the names of those that were running."""
    running = tuple(name for name in (NAME, "accounts", "temporal", "postgres") if home.living(name))
    if record := home.living(NAME):
        await stop(record.pid, record.is_alive, ((SIGTERM, STOP_SECONDS), (SIGKILL, 5.0)))
        home.forget(NAME)
    await stop_accounts(home)
    await stop_services(home)
    return running


def addresses_of(record: Record) -> tuple[Address, ...]:
    """Return the addresses that a serving `up` has recorded."""
    return tuple(Address(what, where) for what, where in record.details.items())


def _address_table(services: Services, settings: Settings) -> tuple[Address, ...]:
    addresses: Mapping[str, str] = {
        "Temporal": f"{services.temporal.address} (namespace {services.temporal.namespace})",
        "Web UI": services.temporal.ui_url or "",
        "Postgres": str(services.postgres).removeprefix("PostgresService(").partition(",")[0],
        "Accounts": settings.tool_settings.get("accounts_url", ""),
        "Task queue": settings.task_queue,
    }
    return tuple(Address(what, where) for what, where in addresses.items() if where)
