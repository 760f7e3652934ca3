"""What an open run says of itself, asked through Temporal."""

import asyncio
from typing import Any

from temporalio.client import WorkflowExecutionStatus

from workers.cli.temporal_session import session
from workers.cli_connection import Session


async def look(run_id: str) -> dict[str, Any]:
    """`now`, and the run's page in the Web UI. Raises TemporalUnreachable."""
    async with session() as opened:
        return {"web_ui": opened.link(run_id), "now": await _status(opened, run_id)}


async def _status(opened: Session, run_id: str) -> Any:
    """What the run says of itself; a word about why not, if it cannot answer."""
    handle = opened.client.get_workflow_handle(run_id)
    description = await handle.describe()
    if description.status != WorkflowExecutionStatus.RUNNING:
        return f"{(description.status or WorkflowExecutionStatus.FAILED).name.lower()}; the reaper will close it"
    try:
        async with asyncio.timeout(5):
            status = await handle.query("status")
        return {name: status[name] for name in ("status", "waiting_for", "step", "spent")}
    except TimeoutError:
        return "no worker answers; start one with `stanchion up` or `stanchion worker`"
