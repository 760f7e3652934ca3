"""Notifies runs, through Temporal, of halts and lifts.

Only idle runs need the notification: active runs learn of a halt from the gateway and from the model's activity.
A notification may fail half-way and be repeated; a second one changes nothing.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.halts.halts import SQL
from activities.storage.database import Database
from workflows.contracts.halts import HaltNotice
from workflows.contracts.runs import WORKFLOW_TYPE
from workflows.search import AGENT_LINEAGE, AGENT_NAME, AGENT_TENANT
from workflows.transitions import order_of

BATCH = 50  # concurrent signals; a Temporal server on a laptop handles them without slowing down
CALL_SECONDS = timedelta(seconds=10)  # time-out of a call to a Temporal server that accepts connections but hangs
ENDING_SECONDS = 60.0  # for this long after it was closed, a run may still be ending in Temporal by itself


async def notify_halted(client: Client, halt: HaltNotice) -> int:
    """Pause the runs in scope; a halt of one run ends that run. Returns how many were notified. Raises RPCError."""
    if halt.scope == "tool":
        return 0  # only the tool's calls are refused; the runs go on
    order = order_of(halt).model_dump(mode="json")
    if halt.scope == "run":
        return await _signal(client, halt.target, "halt", order)
    return await _signal_all(client, halt, "pause", order)


async def notify_lifted(client: Client, halt: HaltNotice, by: str | None = None) -> int:
    """Resume the runs that this halt paused. Returns how many runs in scope were notified. Raises RPCError."""
    if halt.scope in ("run", "tool"):
        return 0
    return await _signal_all(client, halt, "resume", {"halt": halt.halt_id, "by": by, "reason": "the halt was lifted"})


async def notify_missed_lifts(client: Client, database: Database) -> int:
    """Notify runs of lifts that they missed while Temporal was down. Returns how many. Raises RPCError."""
    notified = 0
    for row in await SQL["unnotified_lifts"].rows(database):
        notified += await notify_lifted(client, HaltNotice(**row))
        await SQL["told"].rows(database, halt_id=row["halt_id"])
    return notified


async def end_missed_halts(client: Client, database: Database) -> int:
    """End runs that were halted or killed while Temporal was down. Returns how many. Raises RPCError."""
    ended = 0
    for row in await SQL["unnotified_halts"].rows(database, age=ENDING_SECONDS):
        ended += await notify_halted(client, HaltNotice(**row))
        await SQL["told"].rows(database, halt_id=row["halt_id"])
    for row in await SQL["left_running"].rows(database, age=ENDING_SECONDS):
        ended += await terminate(client, row["target"], str(HaltNotice(**row)))
    return ended


async def terminate(client: Client, run_id: str, reason: str) -> int:
    """Terminate a run. Returns 1, or 0 if it had ended already. Raises RPCError."""
    try:
        await client.get_workflow_handle(run_id).terminate(reason=reason, rpc_timeout=CALL_SECONDS)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return 0
        raise
    return 1


async def _signal_all(client: Client, halt: HaltNotice, name: str, payload: dict[str, Any]) -> int:
    notified, batch = 0, list[str]()
    async for execution in client.list_workflows(_visibility_query(halt), page_size=BATCH, rpc_timeout=CALL_SECONDS):
        batch.append(execution.id)
        if len(batch) == BATCH:
            notified, batch = notified + await signal_runs(client, batch, name, payload), []
    return notified + await signal_runs(client, batch, name, payload)


async def signal_runs(client: Client, run_ids: Sequence[str], name: str, payload: dict[str, Any]) -> int:
    """Send these runs a signal, `BATCH` at a time. Returns how many had not ended. Raises RPCError."""
    notified = 0
    for start in range(0, len(run_ids), BATCH):
        batch = run_ids[start : start + BATCH]
        notified += sum(await asyncio.gather(*(_signal(client, run_id, name, payload) for run_id in batch)))
    return notified


async def _signal(client: Client, run_id: str, name: str, payload: dict[str, Any]) -> int:
    try:
        await client.get_workflow_handle(run_id).signal(name, payload, rpc_timeout=CALL_SECONDS)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return 0  # the run has ended
        raise
    return 1


def _visibility_query(halt: HaltNotice) -> str:
    scope_filters = {
        "agent": f"({AGENT_NAME.name} = {_quoted(halt.target)} OR {AGENT_LINEAGE.name} = {_quoted(halt.target)})",
        "tenant": f"{AGENT_TENANT.name} = {_quoted(halt.target)}",
    }
    parts = [f"WorkflowType = '{WORKFLOW_TYPE}'", "ExecutionStatus = 'Running'", scope_filters.get(halt.scope, "")]
    return " AND ".join(part for part in parts if part)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
