"""The reaper: closes runs in our tables that Temporal terminated or lost."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.halts.halts import Halts
from activities.halts.notify_runs import ENDING_SECONDS, end_missed_halts, notify_missed_lifts
from activities.runs.engine import engine_of
from activities.storage.database import Database, StoreUnavailable
from activities.storage.queries import Queries
from workflows.contracts.budgets import Spent
from workflows.contracts.reaping import ReapReport
from workflows.contracts.runs import WORKFLOW_TYPE, CloseRequest, Ending, RunOutcome

SQL = Queries(__file__, "runs.sql")
LIVING = frozenset((WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW))

BATCH = 200  # open runs checked in a pass; that takes a Temporal server on a laptop about a second
PAGE = 500
LOOK_BACK = timedelta(minutes=15)  # overlap with the last pass, since Temporal's visibility list lags by seconds
FURTHEST = timedelta(days=30)  # how far to look back if no earlier pass is known

log = structlog.get_logger("stanchion.reaper")

Close = Callable[[CloseRequest], Awaitable[RunOutcome]]


class Reaper:
    """Compares the open runs in our tables with their workflows in Temporal.

    A pass checks two groups, so that its cost does not grow with the number of open runs:
    - the runs that Temporal lists as closed since the last pass; these include all terminated runs;
    - the `batch` open runs that were checked longest ago, to find runs that Temporal lost and does not list.

    Runs of another Temporal on the same database are left to its own reaper.
    """

    def __init__(self, database: Database, batch: int = BATCH) -> None:
        self._database = database
        self._batch = batch

    async def reap(self, client: Client, close: Close) -> ReapReport:
        """Close all dead runs that this pass finds, with the reason. Raises StoreUnavailable, RPCError."""
        engine = await engine_of(client)
        last: Any = await SQL["last_pass"].row(self._database, engine=engine)  # None if no run is open
        since = ((last and last["at"]) or datetime.now(UTC) - FURTHEST) - LOOK_BACK
        suspects = [
            row["run_id"] for row in await SQL["to_check"].rows(self._database, most=self._batch, engine=engine)
        ]
        suspects += [run_id for run_id in await self._closed_since(client, engine, since) if run_id not in suspects]
        closed = [run_id for run_id in suspects if await self._close_if_dead(client, run_id, close)]
        ended = await end_missed_halts(client, self._database)
        await Halts(self._database).retire(ENDING_SECONDS)
        resumed = await notify_missed_lifts(client, self._database)
        return ReapReport(checked=len(suspects), closed=tuple(closed), resumed=resumed, ended=ended)

    async def _closed_since(self, client: Client, engine: str, since: datetime) -> list[str]:
        """The open runs whose workflow Temporal lists as closed since then."""
        closed = f"CloseTime > '{since.isoformat()}' AND ExecutionStatus != 'ContinuedAsNew'"
        query = f"WorkflowType = '{WORKFLOW_TYPE}' AND {closed}"
        open_runs, page = list[str](), list[str]()
        async for execution in client.list_workflows(query, page_size=PAGE):
            page.append(execution.id)
            if len(page) == PAGE:
                open_runs, page = open_runs + await self._still_open(engine, page), []
        return open_runs + await self._still_open(engine, page)

    async def _still_open(self, engine: str, run_ids: list[str]) -> list[str]:
        rows = await SQL["still_open"].rows(self._database, run_ids=run_ids, engine=engine)
        return [row["run_id"] for row in rows]

    async def _close_if_dead(self, client: Client, run_id: str, close: Close) -> bool:
        """Close a run if it is dead; return whether it is closed now. An error is logged, so that the pass goes on."""
        ending = await cause_of_death(client, run_id)
        if ending is None:
            return False
        try:
            await self.close_dead(run_id, ending, close)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("a dead run could not be closed", run_id=run_id)
            return False
        return True

    async def close_dead(self, run_id: str, ending: Ending, close: Close) -> RunOutcome:
        """Close a dead run. Every call gets a result, and every claim is settled by its effect contract."""
        usage: Any = await SQL["left_behind"].row(self._database, run_id=run_id)
        spent = Spent(usd_micros=usage["usd_micros"], tokens=usage["tokens"], tool_calls=usage["tool_calls"])
        return await close(CloseRequest(run_id=run_id, ending=ending, steps=usage["steps"], spent=spent))


async def cause_of_death(client: Client, run_id: str) -> Ending | None:
    """Why a run is dead, or None while its workflow runs."""
    try:
        description = await client.get_workflow_handle(run_id).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return Ending(status="stopped", rule="lost", reason="Temporal does not know this workflow any more")
        raise
    if description.status in LIVING or description.status is None:
        return None
    status = description.status.name.lower().replace("_", " ")
    return Ending(status="stopped", rule=status, reason=f"the workflow was {status} from outside, without clean-up")
