"""Prints, once each, why a watched run is waiting (approval, halt, pause), and what ends the wait.

A pause for a budget is not printed here, because it ends the watch.
"""

import asyncio
import time
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.exceptions import TemporalError

from workers.cli.database_session import SQL
from workers.cli.output import say
from workers.cli.stopping.targets import active_halt_ids, warn_if_halted
from workers.cli_connection import Session
from workflows.contracts.approvals import OpenApproval
from workflows.display import answer_with

ASK_SECONDS = 2.0  # time between two queries whether the run is paused; a worker has to answer each
ANSWER_SECONDS = 1.0  # how long the printing of events may wait for that answer
BUDGET = "resume: budget."
PAUSED = ("resume", "the lifting of ", "halt-")  # prefixes of `waiting_for` if it is the reason of a pause


class WaitingReasons:
    """Remembers which reasons were printed for one run."""

    def __init__(self, session: Session, handle: WorkflowHandle[Any, Any]) -> None:
        self._session, self._handle = session, handle
        self._printed: set[str] = set()
        self._next_query_at = 0.0

    async def print_new(self) -> None:
        """Print the reasons that were not printed before. Raises StoreUnavailable."""
        for row in await SQL["waiting"].rows(self._session.database, run_id=self._handle.id):
            if row["approval_id"] not in self._printed:
                self._printed.add(row["approval_id"])
                say(_approval_text(dict(row)))
        if time.monotonic() >= self._next_query_at:
            pause_reason = await self._query_pause_reason()
            self._next_query_at = time.monotonic() + ASK_SECONDS
            if pause_reason and pause_reason not in self._printed:
                await self._print_pause(pause_reason)
            # Other pause reasons are forgotten, so that a later pause for the same reason is printed again.
            self._printed = {reason for reason in self._printed if not reason.startswith(PAUSED)}
            self._printed |= {pause_reason} if pause_reason else set()

    async def _query_pause_reason(self) -> str | None:
        """Return why the run is paused: ids of halts, or `waiting_for`. None if it is not paused, or for a budget."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._handle.query("status")
        except (TimeoutError, TemporalError):
            return None  # no worker answers, or the run is over
        waiting_for = str(status["waiting_for"])
        if status["status"] != "paused" or waiting_for.startswith(BUDGET):
            return None
        reason = waiting_for if waiting_for.startswith(PAUSED) else PAUSED[0]
        return await active_halt_ids(self._session.database, self._handle.id) or reason

    async def _print_pause(self, pause_reason: str) -> None:
        if await warn_if_halted(self._session.database, self._handle.id):
            return
        reason = pause_reason.removeprefix("resume").removeprefix(": ")
        suffix = f": {reason}" if reason else ""
        say(f"paused{suffix}\n  `stanchion resume {self._handle.id}` lets it go on")


def _approval_text(row: dict[str, Any]) -> str:
    run_id = row.pop("run_id")
    approval = OpenApproval.model_validate(row)
    what = "its outcome is unknown" if approval.about == "unknown" else "it needs approval"
    return f"waiting    {approval.tool}: {what}\n  `{answer_with(run_id, approval)}` answers"
