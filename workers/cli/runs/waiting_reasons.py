"""Prints, once each, why a watched run is waiting (approval, halt, pause), and what ends the wait.

Looks only. A budget is not said here: it ends the watch.
"""

import asyncio
import time
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.exceptions import TemporalError

from workers.cli.database_session import SQL
from workers.cli.output import say
from workers.cli.stopping.targets import halts_over, say_if_halted
from workers.cli_connection import Session
from workflows.contracts.approvals import OpenApproval
from workflows.display import answer_with

ASK_SECONDS = 2.0  # how often a run is asked whether it is paused; each time a worker has to answer
ANSWER_SECONDS = 1.0  # how long events wait for that answer
BUDGET = "resume: budget."
PAUSED = ("resume", "the lifting of ", "halt-")  # how what a paused run waits for begins


class WaitingReasons:
    """What was said of one run so far."""

    def __init__(self, opened: Session, handle: WorkflowHandle[Any, Any]) -> None:
        self._opened, self._handle = opened, handle
        self._said: set[str] = set()
        self._ask_at = 0.0

    async def look(self) -> None:
        """Say what is new. Raises StoreUnavailable."""
        for row in await SQL["waiting"].rows(self._opened.database, run_id=self._handle.id):
            if row["approval_id"] not in self._said:
                self._said.add(row["approval_id"])
                say(_asked(dict(row)))
        if time.monotonic() >= self._ask_at:
            paused_for = await self._paused_for()
            self._ask_at = time.monotonic() + ASK_SECONDS
            if paused_for and paused_for not in self._said:
                await self._say_paused(paused_for)
            self._said = {known for known in self._said if not known.startswith(PAUSED)}
            self._said |= {paused_for} if paused_for else set()  # paused again for the same is said again

    async def _paused_for(self) -> str | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._handle.query("status")
        except (TimeoutError, TemporalError):
            return None  # no worker, or it is over: its events say what there is to say
        waits = str(status["waiting_for"])
        if status["status"] != "paused" or waits.startswith(BUDGET):
            return None
        waits = waits if waits.startswith(PAUSED) else PAUSED[0]  # what else it waits for is no reason of the pause
        return halted if (halted := await halts_over(self._opened.database, self._handle.id)) else waits

    async def _say_paused(self, waits: str) -> None:
        if await say_if_halted(self._opened.database, self._handle.id):
            return
        reason = waits.removeprefix("resume").removeprefix(": ")
        why = f": {reason}" if reason else ""
        say(f"paused{why}\n  `stanchion resume {self._handle.id}` lets it go on")


def _asked(row: dict[str, Any]) -> str:
    run_id = row.pop("run_id")
    approval = OpenApproval.model_validate(row)
    what = "its outcome is unknown" if approval.about == "unknown" else "it needs approval"
    return f"waiting    {approval.tool}: {what}\n  `{answer_with(run_id, approval)}` answers"
