"""The body of `resume RUN`, which lets a paused run go on and may add to its budget.

The grant is stored first, where its signature is verified and its id prevents a second addition. Then the run gets a
signal and reads the new budget from the tables. The signal alone adds nothing.
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
from workers.cli.database_session import find_run_id, open_database
from workers.cli.output import Exit, fail, run, say, show
from workers.cli.signed_orders import authority, sign_if_possible
from workers.cli.stopping.targets import fail_if_over, warn_if_halted
from workers.cli.temporal_session import connect_temporal, find_run_handle, open_session
from workers.services import TemporalUnreachable
from workers.settings import from_environment
from workflows.contracts.base import explain
from workflows.contracts.budgets import micros_to_usd

TEMPORAL_SECONDS = 5.0
AMOUNTS = "--add-usd, --add-tokens, --add-tool-calls, --add-minutes, --add-steps"


def resume(
    name: str, added: dict[str, Any], grant_id: str | None, reason: str | None, by: str | None, as_json: bool
) -> None:
    """`stanchion resume RUN`. `added` maps a cap of the budget to the amount to add, or to None."""
    amounts = {cap: amount for cap, amount in added.items() if amount is not None}
    if amounts:
        return _add_to_budget(name, amounts, grant_id, reason, by, as_json)
    if grant_id:
        fail(f"say what to add: {AMOUNTS}", Exit.USAGE)
    _resume_without_grant(name, reason, by, as_json)


def refuse_amounts(added: dict[str, Any], grant_id: str | None) -> None:
    """Exit with a usage error if a `resume` that lifts halts also tries to add to a budget."""
    if grant_id or any(amount is not None for amount in added.values()):
        fail(f"{AMOUNTS} are for one run; name it", Exit.USAGE)


def _resume_without_grant(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    async def work() -> tuple[str, str | None, bool]:
        async with open_session() as session:
            handle = await find_run_handle(session, name)
            await fail_if_over(session.database, handle.id)
            breach = await Alarms(session.database).breach(handle.id)
            await handle.signal("resume", {"by": by or getpass.getuser(), "reason": reason})
            is_halted = await warn_if_halted(session.database, handle.id)
            return handle.id, breach.told if breach and not breach.added else None, is_halted

    run_id, breach_text, is_halted = run(work())
    say(f"resume sent to {run_id}")
    if as_json:
        show({"run_id": run_id, "paused_for": breach_text}, as_json=True)
    if breach_text:
        fail(f"it pauses again at once, because nothing was added to its budget. {breach_text}", Exit.BUDGET)
    if is_halted:
        raise SystemExit(int(Exit.REFUSED))  # `warn_if_halted` has printed the reason


def _add_to_budget(
    name: str, added: dict[str, Any], grant_id: str | None, reason: str | None, by: str | None, as_json: bool
) -> None:
    async def work() -> tuple[GrantGiven, Exit]:
        async with open_database() as database:
            run_id = await find_run_id(database, name)
            person = by or getpass.getuser()
            fields = {"run_id": run_id, "by": person, "reason": reason or "", "grant_id": grant_id or new_grant_id()}
            grant = sign_if_possible(_validated({**fields, **added}))
            return await _store_and_signal(database, grant)

    logs.configure(from_environment().log_format, logging.WARNING)
    given, code = run(work())
    grant, budget = given.grant, given.budget
    counts = f"{budget.tokens} tokens, {budget.tool_calls} tool calls, {budget.minutes} minutes, {budget.steps} steps"
    data = {
        "grant": grant.grant_id,
        "run_id": grant.run_id,
        "by": grant.by,
        "proof": given.proof,
        "again": given.again,
        "added": {name: amount for name, amount in grant.added.items() if amount},
        "budget": budget.model_dump(mode="json"),
    }
    state = "was given before; nothing was added now" if given.again else f"given ({given.proof})"
    total = f"{grant.run_id} may use {micros_to_usd(budget.usd_micros)} USD, {counts}"
    show(data, as_json=as_json, text=f"{grant.grant_id} {state}: {total}")
    raise SystemExit(int(code))


async def _store_and_signal(database: Database, grant: Grant) -> tuple[GrantGiven, Exit]:
    """Store the grant, then send the run its signal. Exits if the grant is refused."""
    try:
        given = await Grants(database, authority(database)).give(grant)
    except GrantRefused as error:
        fail(str(error), Exit.REFUSED)
    try:
        client = await connect_temporal(TEMPORAL_SECONDS)
        order = {"by": grant.by, "reason": grant.reason or None, "grant": grant.grant_id}
        await client.get_workflow_handle(grant.run_id).signal("resume", order)
    except (TemporalUnreachable, RPCError) as error:
        say(f"stanchion: it is added, but the run was not told ({error}); `stanchion resume {grant.run_id}` tells it")
        return given, Exit.UNREACHABLE
    return given, Exit.OK


def _validated(fields: dict[str, Any]) -> Grant:
    try:
        return Grant.model_validate(fields)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)
