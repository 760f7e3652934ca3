"""Queries the status of an open run through Temporal."""

import asyncio
from typing import Any

from temporalio.client import WorkflowExecutionStatus

from workers.cli.temporal_session import open_session
from workers.cli_connection import Session


async def read_live_status(run_id: str) -> dict[str, Any]:
    """Return `now`, the status of the run, and `web_ui`, its page in the Web UI. Raises TemporalUnreachable."""
    async with open_session() as session:
        return {"web_ui": session.link(run_id), "now": await _query_status(session, run_id)}


async def _query_status(session: Session, run_id: str) -> Any:
    """Return fields of the run's status query, or a text that says why it cannot answer."""
    handle = session.client.get_workflow_handle(run_id)
    description = await handle.describe()
    if description.status != WorkflowExecutionStatus.RUNNING:
        return f"{(description.status or WorkflowExecutionStatus.FAILED).name.lower()}; the reaper will close it"
    try:
        async with asyncio.timeout(5):
            status = await handle.query("status")
        return {name: status[name] for name in ("status", "waiting_for", "step", "spent")}
    except TimeoutError:
        return "no worker answers; start one with `stanchion up` or `stanchion worker`"
