"""The bodies of `rollback` and `halt --undo`: order a rollback, follow it, and print its report."""

import asyncio
import getpass
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import ValidationError

from activities.agents.versions import Agents
from activities.storage.database import Database
from activities.undo.orders import Rollback, RollbackOrder, RollbackRefused, Rollbacks
from activities.undo.planner import RollbackPlanner
from activities.undo.report import RollbackReport, in_words
from activities.undo.start_rollback import start_rollback
from workers.cli.database_session import SQL, find_run_id, open_database
from workers.cli.output import Exit, fail, run, say, show
from workers.cli.runs.runs import PausedForBudget, admission_refusal, follow
from workers.cli.signed_orders import sign_if_possible
from workers.cli.temporal_session import open_session
from workers.cli_connection import Session
from workers.settings import from_environment
from workflows.contracts.base import explain

T = TypeVar("T")


def rollback(name: str, to_step: int, dry_run: bool, reason: str | None, by: str | None, as_json: bool) -> None:
    """`stanchion rollback`. Exit code 0: all effects are undone; 1: some are left; 3: refused."""

    async def work() -> tuple[RollbackReport, Rollback | None]:
        async with open_database() as database:
            run_id = await find_run_id(database, name)
            if dry_run:
                await _say_obstacles(database, run_id, to_step)
                return await RollbackPlanner(database, Agents(database)).report(run_id, to_step), None
        async with open_session() as session:
            return await roll_back(session, validated_order(run_id, to_step, reason, by))

    report, ordered = run(fail_if_refused(work()))
    show(report_json(report, ordered), as_json=as_json, text=_dry_run_text(report) if dry_run else in_words(report))
    raise SystemExit(int(exit_code(report)))


def _dry_run_text(report: RollbackReport) -> str:
    """Return the report of a dry run as text: what can and what cannot be undone."""
    _, _, lines = in_words(report).partition("\n")
    can, cannot = len(report.those("undoable")), len(report.those("left", "under way"))
    since = f" after step {report.to_step}" if report.to_step else ""
    return f"Of {report.of_run}{since}: can be taken back: {can}. Cannot: {cannot}.\n{lines}".rstrip()


async def _say_obstacles(database: Database, run_id: str, to_step: int) -> None:
    """Say if the run is still open, or if it has no effects after `to_step`."""
    row: Any = await SQL["reached"].row(database, run_id=run_id)
    if row["status"] == "open":
        say(f"{run_id} is open: it has to end before anything is taken back; `stanchion halt {run_id}` ends it")
    if to_step >= row["steps"] and to_step:
        say(f"{run_id} has taken {row['steps']} steps: there is nothing after step {to_step}")


async def roll_back(session: Session, order: RollbackOrder) -> tuple[RollbackReport, Rollback]:
    """Order a rollback, start it, follow it, and return its report. Raises RollbackRefused.

    Ctrl-C raises KeyboardInterrupt; the rollback itself goes on.
    """
    database = session.database
    planner = RollbackPlanner(database, Agents(database))
    before = await planner.report(order.run_id, order.to_step)
    ordered = await Rollbacks(database).order(sign_if_possible(order), again=before.may_go_on)
    say(f"{ordered.rollback_id} takes back what {ordered.of_run} did ({ordered.proof})")
    handle = await start_rollback(session.client, ordered, from_environment().task_queue)
    if refusal := await admission_refusal(session, handle):
        raise RollbackRefused(f"the rollback was not admitted: {refusal}")
    try:
        ending = await follow(session, handle)
        if (error := ending.exception()) is not None:
            say(f"stanchion: {handle.id} ended: {error}")
    except PausedForBudget as pause:
        say(f"stanchion: {handle.id} is paused: {pause}")
    except asyncio.CancelledError:
        say(f"\ndetached; the rollback goes on. `stanchion logs -f {handle.id}` follows it again")
        raise KeyboardInterrupt from None
    return await planner.report(order.run_id, order.to_step, ordered.rollback_id), ordered


def roll_back_halted_run(data: dict[str, Any], reason: str | None, by: str | None) -> tuple[dict[str, Any], str, Exit]:
    """Roll back the run of a `halt --undo`. `data` is the result of the halt.

    Returns the data with the rollback's report, the report as text, and the exit code. Exits if the run is still open.
    """
    if "status" not in data:
        fail("the run has not ended, so nothing was rolled back; later use `stanchion rollback RUN`", Exit.REFUSED)

    async def work() -> tuple[RollbackReport, Rollback]:
        async with open_session() as session:
            return await roll_back(session, validated_order(data["target"], 0, reason, by))

    report, ordered = run(fail_if_refused(work()))
    return data | {"undo": report_json(report, ordered)}, in_words(report), exit_code(report)


def validated_order(run_id: str, to_step: int, reason: str | None, by: str | None) -> RollbackOrder:
    """Return the order. Exits with a usage error if it is not valid."""
    fields = {"run_id": run_id, "to_step": to_step, "reason": reason or "", "by": by or getpass.getuser()}
    try:
        return RollbackOrder.model_validate(fields)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)


def exit_code(report: RollbackReport) -> Exit:
    """Return RUN_FAILED if the rollback left effects, or if a dry run says that it would; else OK."""
    is_dry_run = report.rollback_id is None
    is_incomplete = report.those("left", "under way") if is_dry_run else not report.complete
    return Exit.RUN_FAILED if is_incomplete else Exit.OK


def report_json(report: RollbackReport, ordered: Rollback | None) -> dict[str, Any]:
    """Return the report as a JSON object."""
    head = {"run": report.of_run, "to_step": report.to_step, "rollback": ordered.rollback_id if ordered else None}
    proof = {"by": ordered.by, "proof": ordered.proof} if ordered else {}
    return head | proof | {"complete": report.complete, "calls": [asdict(item) for item in report.items]}


async def fail_if_refused(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; if it raises RollbackRefused, exit the command with the reason."""
    try:
        return await work
    except RollbackRefused as error:
        fail(str(error), Exit.REFUSED)
