"""The bodies of `run`, `message` and `pause`, which start, follow and signal runs."""

import asyncio
import getpass
import sys
import time
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from activities.budgets.alarms import Alarms
from workers.cli.database_session import SQL
from workers.cli.output import Exit, fail, run, say, show
from workers.cli.runs.listing import POLL_SECONDS, print_events
from workers.cli.runs.messages import send_message
from workers.cli.runs.waiting_reasons import WaitingReasons
from workers.cli.stopping.targets import fail_if_over
from workers.cli.temporal_session import find_run_handle, open_session
from workers.cli_connection import Session
from workers.settings import from_environment
from workflows.contracts.base import explain
from workflows.contracts.runs import WORKFLOW_TYPE, RunRequest

ADMISSION_SECONDS = 10.0  # how long `run` waits until a worker admits or refuses the run


def start(request: dict[str, Any], key: str | None, watch: bool, as_json: bool) -> None:
    """`stanchion run`."""
    raise SystemExit(int(run(_start(request, key, watch, as_json))))


async def _start(request: dict[str, Any], key: str | None, watch: bool, as_json: bool) -> Exit:
    valid = _validated(request)
    async with open_session() as session:
        handle = await session.client.start_workflow(
            WORKFLOW_TYPE,
            valid,
            id=f"agent/{valid.agent}/{key or time.strftime('%y%m%d-%H%M%S-') + str(time.time_ns() % 1_000_000)}",
            task_queue=from_environment().task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"{valid.agent}: {' '.join(valid.goal.split())[:120]}",
        )
        if refusal := await admission_refusal(session, handle):
            fail(f"the run was not admitted: {refusal}", Exit.USAGE)
        say(f"started {handle.id}" + (f"\n  {link}" if (link := session.link(handle.id)) else ""))
        if not watch:
            show({"run": handle.id}, as_json=as_json, text=handle.id)
            return Exit.OK
        try:
            return await _watch(session, handle, as_json)
        except asyncio.CancelledError:
            say(f"\ndetached; the run goes on. `stanchion logs -f {handle.id}` follows it again")
            raise KeyboardInterrupt from None


def _validated(request: dict[str, Any]) -> RunRequest:
    from pydantic import ValidationError

    if request["goal"] == "-":
        request["goal"] = sys.stdin.read()
    request["budget"] = {name: cap for name, cap in request["budget"].items() if cap is not None}
    try:
        return RunRequest.model_validate({name: value for name, value in request.items() if value is not None})
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)


async def admission_refusal(session: Session, handle: WorkflowHandle[Any, Any]) -> str | None:
    """Return why the run was not admitted, or None once it is. Also None if no worker answers in ADMISSION_SECONDS."""
    result = asyncio.ensure_future(handle.result())
    deadline = time.monotonic() + ADMISSION_SECONDS
    try:
        while time.monotonic() < deadline:
            await asyncio.wait([result], timeout=POLL_SECONDS)
            if result.done():
                failure = result.exception()
                return _failure_text(failure) if isinstance(failure, WorkflowFailureError) else None
            if await SQL["run"].row(session.database, run_id=handle.id):
                return None
        say("no worker has started the run yet; is one running? `stanchion up` or `stanchion worker` starts one")
        return None
    finally:
        result.cancel()


def _failure_text(failure: WorkflowFailureError) -> str:
    cause = failure.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause)


class PausedForBudget(Exception):
    """The followed run is paused for a budget; the message says which, and how to resume the run."""


async def _watch(session: Session, handle: WorkflowHandle[Any, Any], as_json: bool) -> Exit:
    """Print events as they come, then the outcome."""
    try:
        return _show_outcome(await follow(session, handle), as_json)
    except PausedForBudget as pause:
        show({"run": handle.id, "status": "paused", "reason": str(pause)}, as_json=as_json, text=f"paused: {pause}")
        return Exit.BUDGET


async def follow(session: Session, handle: WorkflowHandle[Any, Any]) -> "asyncio.Future[Any]":
    """Print the events of a run, and why it waits, until it is over. Returns a done future with its outcome or failure.

    Raises PausedForBudget if the run is paused for a budget, because that may last until somebody decides.
    """
    result, waiting_reasons = asyncio.ensure_future(handle.result()), WaitingReasons(session, handle)
    last, is_done = 0, False
    while not is_done:
        is_done = result.done()  # checked before the events are read, so that the last events are not missed
        last = await print_events(session.database, handle.id, last, as_json=False)
        if not is_done and (breach_text := await _budget_breach(session, handle.id)):
            result.cancel()
            raise PausedForBudget(breach_text)
        if not is_done:
            await waiting_reasons.print_new()
            await asyncio.wait([result], timeout=POLL_SECONDS)
    return result


async def _budget_breach(session: Session, run_id: str) -> str | None:
    """Return the text of the budget breach that the run is paused for, or None."""
    breach = await Alarms(session.database).breach(run_id)
    return breach.told if breach and not breach.added else None


def _show_outcome(result: "asyncio.Future[Any]", as_json: bool) -> Exit:
    try:
        outcome = result.result()
    except WorkflowFailureError as error:
        say(f"stanchion: the run was not admitted: {_failure_text(error)}")
        return Exit.USAGE
    answer = f"\n\n{outcome['answer']}" if outcome.get("answer") else ""
    show(outcome, as_json=as_json, text=f"{outcome['status']}: {outcome['reason']}{answer}")
    return exit_code(outcome)


def exit_code(outcome: dict[str, Any]) -> Exit:
    """Return the exit code for an outcome."""
    if outcome["status"] == "completed":
        return Exit.OK
    return Exit.BUDGET if outcome["reason"].startswith("budget.") else Exit.RUN_FAILED


def message(name: str, text: str, by: str | None) -> None:
    """`stanchion message`."""
    from pydantic import ValidationError

    from workflows.contracts.messages import MessageReceived

    try:
        written = MessageReceived(text=text, by=by or getpass.getuser())
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)

    async def work() -> tuple[str, str]:
        async with open_session() as session:
            handle = await find_run_handle(session, name)
            await fail_if_over(session.database, handle.id)
            return handle.id, await send_message(handle, written)

    run_id, outcome = run(work())
    say(f"message sent to {run_id}: {outcome}")


def signal(name: str, signal_name: str, reason: str | None, by: str | None, **fields: str) -> None:
    """Send a signal with `by`, a reason, and further fields to an open run."""

    async def work() -> str:
        async with open_session() as session:
            handle = await find_run_handle(session, name)
            await fail_if_over(session.database, handle.id)
            await handle.signal(signal_name, {"by": by or getpass.getuser(), "reason": reason, **fields})
            return handle.id

    say(f"{signal_name} sent to {run(work())}")
