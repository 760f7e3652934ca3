"""`run`, `message`, `pause`: starting runs, following them, and talking to them."""

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
from workers.cli.runs.waiting_reasons import WaitingReasons
from workers.cli.stopping.targets import expect_open
from workers.cli.temporal_session import handle_of, session
from workers.cli_connection import Session
from workers.settings import from_environment
from workflows.contracts.base import explain
from workflows.contracts.runs import WORKFLOW_TYPE, RunRequest

ADMISSION_SECONDS = 10.0  # how long `run` waits for a worker to admit or refuse; it goes on by itself after that


def start(request: dict[str, Any], key: str | None, watch: bool, as_json: bool) -> None:
    """`stanchion run`."""
    raise SystemExit(int(run(_start(request, key, watch, as_json))))


async def _start(request: dict[str, Any], key: str | None, watch: bool, as_json: bool) -> Exit:
    valid = _checked(request)
    async with session() as opened:
        handle = await opened.client.start_workflow(
            WORKFLOW_TYPE,
            valid,
            id=f"agent/{valid.agent}/{key or time.strftime('%y%m%d-%H%M%S-') + str(time.time_ns() % 1_000_000)}",
            task_queue=from_environment().task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"{valid.agent}: {' '.join(valid.goal.split())[:120]}",
        )
        if refused := await refusal_of(opened, handle):
            fail(f"the run was not admitted: {refused}", Exit.USAGE)
        say(f"started {handle.id}" + (f"\n  {link}" if (link := opened.link(handle.id)) else ""))
        if not watch:
            show({"run": handle.id}, as_json=as_json, text=handle.id)
            return Exit.OK
        try:
            return await _watch(opened, handle, as_json)
        except asyncio.CancelledError:
            say(f"\ndetached; the run goes on. `stanchion logs -f {handle.id}` follows it again")
            raise KeyboardInterrupt from None


def _checked(request: dict[str, Any]) -> RunRequest:
    from pydantic import ValidationError

    if request["goal"] == "-":
        request["goal"] = sys.stdin.read()
    request["budget"] = {name: cap for name, cap in request["budget"].items() if cap is not None}
    try:
        return RunRequest.model_validate({name: value for name, value in request.items() if value is not None})
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)


async def refusal_of(opened: Session, handle: WorkflowHandle[Any, Any]) -> str | None:
    """Why the run was not admitted; None once it is, or while no worker has looked at it."""
    ending = asyncio.ensure_future(handle.result())
    give_up = time.monotonic() + ADMISSION_SECONDS
    try:
        while time.monotonic() < give_up:
            await asyncio.wait([ending], timeout=POLL_SECONDS)
            if ending.done():
                failure = ending.exception()
                return _why(failure) if isinstance(failure, WorkflowFailureError) else None
            if await SQL["run"].row(opened.database, run_id=handle.id):
                return None
        say("no worker has taken it up yet; is one running? `stanchion up` or `stanchion worker` starts one")
        return None
    finally:
        ending.cancel()


def _why(failure: WorkflowFailureError) -> str:
    cause = failure.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause)


class ShortOfBudget(Exception):
    """The run that is followed is paused for a budget; the message says which, and how it goes on."""


async def _watch(opened: Session, handle: WorkflowHandle[Any, Any], as_json: bool) -> Exit:
    """Print events as they come, then the outcome."""
    try:
        return _ended(await follow(opened, handle), as_json)
    except ShortOfBudget as short:
        show({"run": handle.id, "status": "paused", "reason": str(short)}, as_json=as_json, text=f"paused: {short}")
        return Exit.BUDGET


async def follow(opened: Session, handle: WorkflowHandle[Any, Any]) -> "asyncio.Future[Any]":
    """Print events, and what it stands still for, until the run is over; what is returned has its result, or failure.

    Raises ShortOfBudget: it is paused, and nothing happens until somebody decides.
    """
    ending, standing = asyncio.ensure_future(handle.result()), WaitingReasons(opened, handle)
    last, done = 0, False
    while not done:
        done = ending.done()  # looked at before the events are read, so that the last ones are not missed
        last = await print_events(opened.database, handle.id, last, as_json=False)
        if not done and (short := await _short_of(opened, handle.id)):
            ending.cancel()
            raise ShortOfBudget(short)
        if not done:
            await standing.look()
            await asyncio.wait([ending], timeout=POLL_SECONDS)
    return ending


async def _short_of(opened: Session, run_id: str) -> str | None:
    """The budget that the run is paused for: nothing happens until somebody decides, so nobody watches for that."""
    breach = await Alarms(opened.database).breach(run_id)
    return breach.told if breach and not breach.added else None


def _ended(ending: "asyncio.Future[Any]", as_json: bool) -> Exit:
    try:
        outcome = ending.result()
    except WorkflowFailureError as error:
        say(f"stanchion: the run was not admitted: {_why(error)}")
        return Exit.USAGE
    answer = f"\n\n{outcome['answer']}" if outcome.get("answer") else ""
    show(outcome, as_json=as_json, text=f"{outcome['status']}: {outcome['reason']}{answer}")
    return exit_of(outcome)


def exit_of(outcome: dict[str, Any]) -> Exit:
    """The exit code that an outcome gives."""
    if outcome["status"] == "completed":
        return Exit.OK
    return Exit.BUDGET if outcome["reason"].startswith("budget.") else Exit.RUN_FAILED


def message(name: str, text: str, by: str | None) -> None:
    """`stanchion message`."""
    signal(name, "message", None, by, text=text)


def signal(name: str, signal_name: str, reason: str | None, by: str | None, **more: str) -> None:
    """Send a signal that takes `by`, a reason, or a text."""

    async def work() -> str:
        async with session() as opened:
            handle = await handle_of(opened, name)
            await expect_open(opened.database, handle.id)
            await handle.signal(signal_name, {"by": by or getpass.getuser(), "reason": reason, **more})
            return handle.id

    say(f"{signal_name} sent to {run(work())}")
