"""`rollback`, and `halt --undo`: ordering that what a run did is taken back, and following it to the report."""

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
from workers.cli.database_session import SQL, run_id_in, store
from workers.cli.output import Exit, fail, run, say, show
from workers.cli.runs.runs import ShortOfBudget, follow, refusal_of
from workers.cli.signed_orders import signed
from workers.cli.temporal_session import session
from workers.cli_connection import Session
from workers.settings import from_environment
from workflows.contracts.base import explain

T = TypeVar("T")


def rollback(name: str, to_step: int, dry_run: bool, reason: str | None, by: str | None, as_json: bool) -> None:
    """`stanchion rollback`. Exit code 0: all is taken back; 1: something is left; 3: refused."""

    async def work() -> tuple[RollbackReport, Rollback | None]:
        async with store() as database:
            run_id = await run_id_in(database, name)
            if dry_run:
                await _say_what_stands_against_it(database, run_id, to_step)
                return await RollbackPlanner(database, Agents(database)).report(run_id, to_step), None
        async with session() as opened:
            return await taken_back(opened, order_of(run_id, to_step, reason, by))

    report, ordered = run(told(work()))
    show(data_of(report, ordered), as_json=as_json, text=_foreseen(report) if dry_run else in_words(report))
    raise SystemExit(int(exit_of(report)))


def _foreseen(report: RollbackReport) -> str:
    """A dry run for people: what can be and what cannot, where a rollback says what was and what is left."""
    _, _, lines = in_words(report).partition("\n")
    can, cannot = len(report.those("undoable")), len(report.those("left", "under way"))
    since = f" after step {report.to_step}" if report.to_step else ""
    return f"Of {report.of_run}{since}: can be taken back: {can}. Cannot: {cannot}.\n{lines}".rstrip()


async def _say_what_stands_against_it(database: Database, run_id: str, to_step: int) -> None:
    row: Any = await SQL["reached"].row(database, run_id=run_id)
    if row["status"] == "open":
        say(f"{run_id} is open: it has to end before anything is taken back; `stanchion halt {run_id}` ends it")
    if to_step >= row["steps"] and to_step:
        say(f"{run_id} has taken {row['steps']} steps: nothing comes after step {to_step}")


async def taken_back(opened: Session, order: RollbackOrder) -> tuple[RollbackReport, Rollback]:
    """Order, start, follow. Raises RollbackRefused; KeyboardInterrupt detaches, and it goes on."""
    database = opened.database
    undoing = RollbackPlanner(database, Agents(database))
    before = await undoing.report(order.run_id, order.to_step)
    ordered = await Rollbacks(database).order(signed(order), again=before.may_go_on)
    say(f"{ordered.rollback_id} takes back what {ordered.of_run} did ({ordered.proof})")
    handle = await start_rollback(opened.client, ordered, from_environment().task_queue)
    if refused := await refusal_of(opened, handle):
        raise RollbackRefused(f"the rollback was not admitted: {refused}")
    try:
        ending = await follow(opened, handle)
        if (error := ending.exception()) is not None:
            say(f"stanchion: {handle.id} ended: {error}")
    except ShortOfBudget as short:
        say(f"stanchion: {handle.id} is paused: {short}")
    except asyncio.CancelledError:
        say(f"\ndetached; it goes on. `stanchion logs -f {handle.id}` follows it again")
        raise KeyboardInterrupt from None
    return await undoing.report(order.run_id, order.to_step, ordered.rollback_id), ordered


def after_halt(data: dict[str, Any], reason: str | None, by: str | None) -> tuple[dict[str, Any], str, Exit]:
    """What `halt --undo` shows: the halt (`data`) and the rollback of its run, once that has ended."""
    if "status" not in data:
        fail("it has not ended, so nothing was taken back; `stanchion rollback RUN` does it once it has", Exit.REFUSED)

    async def work() -> tuple[RollbackReport, Rollback]:
        async with session() as opened:
            return await taken_back(opened, order_of(data["target"], 0, reason, by))

    report, ordered = run(told(work()))
    return data | {"undo": data_of(report, ordered)}, in_words(report), exit_of(report)


def order_of(run_id: str, to_step: int, reason: str | None, by: str | None) -> RollbackOrder:
    """The order, checked."""
    given = {"run_id": run_id, "to_step": to_step, "reason": reason or "", "by": by or getpass.getuser()}
    try:
        return RollbackOrder.model_validate(given)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)


def exit_of(report: RollbackReport) -> Exit:
    """The exit code that a report gives; of a dry run, which is no rollback's, by what could not be taken back."""
    left = report.those("left", "under way") if report.rollback_id is None else not report.complete
    return Exit.RUN_FAILED if left else Exit.OK


def data_of(report: RollbackReport, ordered: Rollback | None) -> dict[str, Any]:
    """The report as JSON."""
    of = {"run": report.of_run, "to_step": report.to_step, "rollback": ordered.rollback_id if ordered else None}
    proof = {"by": ordered.by, "proof": ordered.proof} if ordered else {}
    return of | proof | {"complete": report.complete, "calls": [asdict(item) for item in report.items]}


async def told(work: Coroutine[Any, Any, T]) -> T:
    """The same; a rollback that is refused ends the command with why."""
    try:
        return await work
    except RollbackRefused as error:
        fail(str(error), Exit.REFUSED)
