"""The bodies of `up`, `down`, `doctor`, `bootstrap` and `worker`."""

import asyncio
from dataclasses import asdict
from functools import partial
from typing import get_args

from activities.agents.versions import AgentVersion
from activities.storage.migrate import schema_status
from workers import logs
from workers.bootstrap import bootstrap as prepare
from workers.cli.output import Exit, echo, fail, run, say, show
from workers.cli_connection import connect
from workers.doctor import diagnose
from workers.doctor_controls import check_controls
from workers.serve import flush_and_exit, serve, stop_on_signals
from workers.services import Home
from workers.settings import from_environment
from workers.up import Address, up_detached
from workers.up import down as stop_all
from workers.up import up as bring_up
from workers.worker import ROLES, Role
from workflows.search import SEARCH_ATTRIBUTES


def up(detach: bool, as_json: bool) -> None:
    """`stanchion up`."""
    home, settings = Home.locate(), from_environment()
    logs.configure(settings.log_format)
    if detach:
        _show(run(up_detached(home, say)), as_json)
        return
    running = run(bring_up(home, settings, say))
    if running is not None:
        say("It is up already:")
        _show(running, as_json)
        return
    flush_and_exit(0)


def _show(table: tuple[Address, ...], as_json: bool) -> None:
    show({address.what: address.where for address in table}, as_json=as_json)


def down(as_json: bool) -> None:
    """`stanchion down`."""
    stopped = run(stop_all(Home.locate()))
    show({"stopped": list(stopped)}, as_json=as_json, text=f"stopped: {', '.join(stopped) or 'nothing was running'}")


def doctor(as_json: bool) -> None:
    """`stanchion doctor`. Exit code 1 if a check fails."""
    home, configured = Home.locate(), from_environment().dangerously_accept_unsigned_decisions
    unsigned = configured or home.living("worker") is not None  # the worker of `up` accepts unsigned decisions
    controls = partial(check_controls, unsigned=unsigned)
    checks = run(diagnose(home, schema_status=schema_status, controls=controls, search_attributes=SEARCH_ATTRIBUTES))
    if as_json:
        show([asdict(check) for check in checks], as_json=True)
    for check in () if as_json else checks:
        label = {True: "ok  ", False: "FAIL", None: "hint"}[check.ok]
        echo(f"{label}  {check.name:<18} {check.detail}")
        if check.ok is not True and check.fix:
            echo(f"      {'':<18} fix: {check.fix}")
    raise SystemExit(int(Exit.RUN_FAILED if any(check.ok is False for check in checks) else Exit.OK))


def bootstrap(as_json: bool) -> None:
    """`stanchion bootstrap`."""
    settings = from_environment()

    async def work() -> list[AgentVersion]:
        session = await connect(Home.locate(), settings)
        try:
            return await prepare(session, settings, say)
        finally:
            await session.close()

    agents = {agent.definition.name: agent.version[:12] for agent in run(work())}
    show({"agents": agents}, as_json=as_json, text=f"ready for workers; agents: {', '.join(agents)}")


def worker(roles: str) -> None:
    """`stanchion worker`."""
    settings = from_environment()
    logs.configure(settings.log_format)
    chosen = [role.strip() for role in roles.split(",") if role.strip()] or list(ROLES)
    if unknown := sorted(set(chosen) - set(get_args(Role))):
        fail(f"no such role: {', '.join(unknown)}; roles are {', '.join(ROLES)}", Exit.USAGE)

    async def work() -> None:
        session = await connect(Home.locate(), settings)
        stop = asyncio.Event()
        stop_on_signals(stop)
        try:
            ready = f"worker ready: {', '.join(chosen)} on {settings.task_queue}"
            await serve(session, settings, [role for role in ROLES if role in chosen], lambda: say(ready), stop)
        finally:
            await session.close()

    run(work())
    flush_and_exit(0)
