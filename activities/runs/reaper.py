"""The reaper: a run that was terminated, or lost with its server, has no one left to close it. This does."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.halts.halts import Halts
from activities.halts.notify_runs import ENDING_SECONDS, end_missed_halts, notify_missed_lifts
from activities.storage.database import Database, StoreUnavailable
from activities.storage.queries import Queries
from workflows.contracts.budgets import Spent
from workflows.contracts.reaping import ReapReport
from workflows.contracts.runs import WORKFLOW_TYPE, CloseRequest, Ending, RunOutcome

SQL = Queries(__file__, "runs.sql")
LIVING = frozenset((WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW))

BATCH = 200  # open runs asked about in a pass: a second's work for a server on a laptop
PAGE = 500
LOOK_BACK = timedelta(minutes=15)  # before the last pass: Temporal's list is late by seconds
FURTHEST = timedelta(days=30)  # where no pass is known of

log = structlog.get_logger("stanchion.reaper")

Close = Callable[[CloseRequest], Awaitable[RunOutcome]]


class Reaper:
    """Compares the runs our tables hold open with what Temporal says of them.

    The cost of a pass does not grow with the number of open runs. It looks at the runs whose workflow closed since the
    last pass, by Temporal's own list, which finds every terminated run; and at `batch` of all open runs, those that it
    looked at longest ago, which finds what no list has: a run that Temporal lost.
    """

    def __init__(self, database: Database, batch: int = BATCH) -> None:
        self._database = database
        self._batch = batch

    async def reap(self, client: Client, close: Close) -> ReapReport:
        """Close every dead run with the reason. Raises StoreUnavailable; a Temporal that is away raises RPCError."""
        last: Any = await SQL["last_pass"].row(self._database)  # None where no run is open
        since = ((last and last["at"]) or datetime.now(UTC) - FURTHEST) - LOOK_BACK
        suspects = [row["run_id"] for row in await SQL["to_check"].rows(self._database, most=self._batch)]
        suspects += [run_id for run_id in await self._closed_since(client, since) if run_id not in suspects]
        closed = [run_id for run_id in suspects if await self._closed(client, run_id, close)]
        ended = await end_missed_halts(client, self._database)
        await Halts(self._database).retire(ENDING_SECONDS)
        resumed = await notify_missed_lifts(client, self._database)
        return ReapReport(checked=len(suspects), closed=tuple(closed), resumed=resumed, ended=ended)

    async def _closed_since(self, client: Client, since: datetime) -> list[str]:
        """Open runs of ours whose workflow Temporal lists as closed since then."""
        closed = f"CloseTime > '{since.isoformat()}' AND ExecutionStatus != 'ContinuedAsNew'"
        query = f"WorkflowType = '{WORKFLOW_TYPE}' AND {closed}"
        found, page = list[str](), list[str]()
        async for execution in client.list_workflows(query, page_size=PAGE):
            page.append(execution.id)
            if len(page) == PAGE:
                found, page = found + await self._still_open(page), []
        return found + await self._still_open(page)

    async def _still_open(self, run_ids: list[str]) -> list[str]:
        return [row["run_id"] for row in await SQL["still_open"].rows(self._database, run_ids=run_ids)]

    async def _closed(self, client: Client, run_id: str, close: Close) -> bool:
        """Whether it was dead and is closed now. One that cannot be closed must not keep the others from it."""
        ending = await cause_of_death(client, run_id)
        if ending is None:
            return False
        try:
            await self.bury(run_id, ending, close)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("a dead run could not be closed", run_id=run_id)
            return False
        return True

    async def bury(self, run_id: str, ending: Ending, close: Close) -> RunOutcome:
        """Close a run that will not close itself: every call gets a result, every claim is settled by its contract."""
        left: Any = await SQL["left_behind"].row(self._database, run_id=run_id)
        spent = Spent(usd_micros=left["usd_micros"], tokens=left["tokens"], tool_calls=left["tool_calls"])
        return await close(CloseRequest(run_id=run_id, ending=ending, steps=left["steps"], spent=spent))


async def cause_of_death(client: Client, run_id: str) -> Ending | None:
    """How a run ended without closing itself, or None while it lives."""
    try:
        description = await client.get_workflow_handle(run_id).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return Ending(status="stopped", rule="lost", reason="Temporal does not know this workflow any more")
        raise
    if description.status in LIVING or description.status is None:
        return None
    word = description.status.name.lower().replace("_", " ")
    return Ending(status="stopped", rule=word, reason=f"the workflow was {word} from outside, without clean-up")
