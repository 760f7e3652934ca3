"""Telling runs, through Temporal, that they are halted or that a halt was lifted: fifty at a time.

A courtesy to runs that stand still: those at work hear of a halt from the gateway and the model's activity. Nothing
depends on it, so it may fail half-way and be repeated; a run that is told twice stays as it is.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.halts.halts import SQL
from activities.storage.database import Database
from workflows.contracts.halts import HaltNotice
from workflows.contracts.runs import WORKFLOW_TYPE
from workflows.search import AGENT_LINEAGE, AGENT_NAME, AGENT_TENANT
from workflows.state import order_of

BATCH = 50  # signals under way at once: a server on a laptop takes them without slowing down
CALL_SECONDS = timedelta(seconds=10)  # a server that takes connections and answers nothing holds nobody up for longer
ENDING_SECONDS = 60.0  # a run that was closed less than that ago may be ending in Temporal by itself at this moment


async def notify_halted(client: Client, halt: HaltNotice) -> int:
    """Pause the runs in scope, or end the one. How many were told. Raises RPCError."""
    if halt.scope == "tool":
        return 0  # its calls are refused; the runs go on
    order = order_of(halt).model_dump(mode="json")
    if halt.scope == "run":
        return await _signal(client, halt.target, "halt", order)
    return await _signal_all(client, halt, "pause", order)


async def notify_lifted(client: Client, halt: HaltNotice, by: str | None = None) -> int:
    """Let the runs that this halt paused go on. How many were told, paused by it or not. Raises RPCError."""
    if halt.scope in ("run", "tool"):
        return 0
    return await _signal_all(client, halt, "resume", {"halt": halt.halt_id, "by": by, "reason": "the halt was lifted"})


async def notify_missed_lifts(client: Client, database: Database) -> int:
    """Tell whoever was not told, because Temporal was away when a halt was lifted. How many. Raises RPCError."""
    told = 0
    for row in await SQL["untold"].rows(database):
        told += await notify_lifted(client, HaltNotice(**row))
        await SQL["told"].rows(database, halt_id=row["halt_id"])
    return told


async def end_missed_halts(client: Client, database: Database) -> int:
    """End whoever was halted or killed while Temporal was away, and stands still there. How many. Raises RPCError."""
    ended = 0
    for row in await SQL["unheard"].rows(database, age=ENDING_SECONDS):
        ended += await notify_halted(client, HaltNotice(**row))
        await SQL["told"].rows(database, halt_id=row["halt_id"])
    for row in await SQL["left_running"].rows(database, age=ENDING_SECONDS):
        ended += await terminate(client, row["target"], str(HaltNotice(**row)))
    return ended


async def terminate(client: Client, run_id: str, reason: str) -> int:
    """1 if it was terminated, 0 if it had ended by itself. Raises RPCError."""
    try:
        await client.get_workflow_handle(run_id).terminate(reason=reason, rpc_timeout=CALL_SECONDS)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return 0
        raise
    return 1


async def _signal_all(client: Client, halt: HaltNotice, name: str, payload: dict[str, Any]) -> int:
    told, batch = 0, list[str]()
    async for found in client.list_workflows(_query(halt), page_size=BATCH, rpc_timeout=CALL_SECONDS):
        batch.append(found.id)
        if len(batch) == BATCH:
            told, batch = told + await _signal_batch(client, batch, name, payload), []
    return told + await _signal_batch(client, batch, name, payload)


async def _signal_batch(client: Client, ids: list[str], name: str, payload: dict[str, Any]) -> int:
    return sum(await asyncio.gather(*(_signal(client, run_id, name, payload) for run_id in ids)))


async def _signal(client: Client, run_id: str, name: str, payload: dict[str, Any]) -> int:
    try:
        await client.get_workflow_handle(run_id).signal(name, payload, rpc_timeout=CALL_SECONDS)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return 0  # it has ended
        raise
    return 1


def _query(halt: HaltNotice) -> str:
    of = {
        "agent": f"({AGENT_NAME.name} = {_quoted(halt.target)} OR {AGENT_LINEAGE.name} = {_quoted(halt.target)})",
        "tenant": f"{AGENT_TENANT.name} = {_quoted(halt.target)}",
    }
    parts = [f"WorkflowType = '{WORKFLOW_TYPE}'", "ExecutionStatus = 'Running'", of.get(halt.scope, "")]
    return " AND ".join(part for part in parts if part)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
