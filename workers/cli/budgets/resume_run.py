"""`resume RUN`: let a paused run go on, and add to its budget where that is what it is paused for.

The grant is written first, proved and counted once; the run is told after that, and reads what was added from the
tables. A signal alone adds nothing.
"""

import getpass
import logging
from typing import Any

from pydantic import ValidationError
from temporalio.service import RPCError

from activities.budgets.alarms import Alarms
from activities.budgets.grants import Grant, GrantGiven, GrantRefused, Grants, new_grant_id
from activities.storage.database import Database
from workers import logs
from workers.cli.database_session import run_id_in, store
from workers.cli.output import Exit, fail, run, say, show
from workers.cli.signed_orders import authority, signed
from workers.cli.stopping.targets import expect_open, say_if_halted
from workers.cli.temporal_session import handle_of, session, temporal
from workers.services import TemporalUnreachable
from workers.settings import from_environment
from workflows.contracts.base import explain
from workflows.contracts.budgets import micros_to_usd

TEMPORAL_SECONDS = 5.0
AMOUNTS = "--add-usd, --add-tokens, --add-tool-calls, --add-minutes, --add-steps"


def resume(
    name: str, added: dict[str, Any], grant_id: str | None, reason: str | None, by: str | None, as_json: bool
) -> None:
    """`stanchion resume RUN`, with what is added to its budget, if anything is."""
    given = {cap: amount for cap, amount in added.items() if amount is not None}
    if given:
        return _add(name, given, grant_id, reason, by, as_json)
    if grant_id:
        fail(f"say what to add: {AMOUNTS}", Exit.USAGE)
    _go_on(name, reason, by, as_json)


def refuse_amounts(added: dict[str, Any], grant_id: str | None) -> None:
    """What lifts halts adds to no budget."""
    if grant_id or any(amount is not None for amount in added.values()):
        fail(f"{AMOUNTS} are for one run; name it", Exit.USAGE)


def _go_on(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    async def work() -> tuple[str, str | None, bool]:
        async with session() as opened:
            handle = await handle_of(opened, name)
            await expect_open(opened.database, handle.id)
            breach = await Alarms(opened.database).breach(handle.id)
            await handle.signal("resume", {"by": by or getpass.getuser(), "reason": reason})
            halted = await say_if_halted(opened.database, handle.id)
            return handle.id, breach.told if breach and not breach.added else None, halted

    run_id, short, halted = run(work())
    say(f"resume sent to {run_id}")
    if as_json:
        show({"run_id": run_id, "paused_for": short}, as_json=True)
    if short:
        fail(f"it pauses again at once, for nothing was added to its budget. {short}", Exit.BUDGET)
    if halted:
        raise SystemExit(int(Exit.REFUSED))  # why was said


def _add(
    name: str, added: dict[str, Any], grant_id: str | None, reason: str | None, by: str | None, as_json: bool
) -> None:
    async def work() -> tuple[GrantGiven, Exit]:
        async with store() as database:
            run_id = await run_id_in(database, name)
            who = by or getpass.getuser()
            plain = {"run_id": run_id, "by": who, "reason": reason or "", "grant_id": grant_id or new_grant_id()}
            grant = signed(_checked({**plain, **added}))
            return await _give(database, grant)

    logs.configure(from_environment().log_format, logging.WARNING)  # standard output is for data
    given, code = run(work())
    grant, now = given.grant, given.budget
    counts = f"{now.tokens} tokens, {now.tool_calls} tool calls, {now.minutes} minutes, {now.steps} steps"
    data = {
        "grant": grant.grant_id,
        "run_id": grant.run_id,
        "by": grant.by,
        "proof": given.proof,
        "again": given.again,
        "added": {name: amount for name, amount in grant.added.items() if amount},
        "budget": now.model_dump(mode="json"),
    }
    word = "was given before; nothing was added now" if given.again else f"given ({given.proof})"
    may = f"{grant.run_id} may use {micros_to_usd(now.usd_micros)} USD, {counts}"
    show(data, as_json=as_json, text=f"{grant.grant_id} {word}: {may}")
    raise SystemExit(int(code))


async def _give(database: Database, grant: Grant) -> tuple[GrantGiven, Exit]:
    try:
        given = await Grants(database, authority(database)).give(grant)
    except GrantRefused as error:
        fail(str(error), Exit.REFUSED)
    try:
        client = await temporal(TEMPORAL_SECONDS)
        order = {"by": grant.by, "reason": grant.reason or None, "grant": grant.grant_id}
        await client.get_workflow_handle(grant.run_id).signal("resume", order)
    except (TemporalUnreachable, RPCError) as error:
        say(f"stanchion: it is added, but the run was not told ({error}); `stanchion resume {grant.run_id}` tells it")
        return given, Exit.UNREACHABLE
    return given, Exit.OK


def _checked(fields: dict[str, Any]) -> Grant:
    try:
        return Grant.model_validate(fields)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)
