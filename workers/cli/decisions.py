"""`approvals`, `approve`, `reject`, `respond`, `resolve`: people answering, through the one path of the update."""

import asyncio
import getpass
import json
from typing import Any, NoReturn

from activities.approvals.record import SQL
from workers.cli.opened import run_id_of, session
from workers.cli.output import Exit, fail, run, show, table
from workers.session import Session
from workflows.approvals import UNKNOWN_VERDICTS

ANSWER_SECONDS = 30.0  # an update waits for a worker; beyond this there is none

EXITS = {"accepted": Exit.OK, "expired": Exit.REFUSED, "already decided": Exit.REFUSED, "not allowed": Exit.REFUSED}


def ls(most: int, as_json: bool) -> None:
    """`stanchion approvals`."""

    async def work() -> list[dict[str, Any]]:
        async with session() as opened:
            rows = await SQL["open"].rows(opened.database, most=most)
            return [dict(row) | {"arguments": json.loads(row["arguments"])} for row in rows]

    columns = ("approval_id", "about", "tool", "tier", "arguments", "run_id", "expires_at")
    table(run(work()), columns, as_json=as_json, empty="nothing waits for a person")


def approve(approval: str, by: str | None, reason: str | None, edit: str | None, as_json: bool) -> None:
    """`stanchion approve`."""
    if edit is None:
        decide(approval, "approve", by, reason, as_json)
    try:
        arguments = json.loads(edit or "")
    except ValueError as error:
        fail(f"--edit takes a JSON object: {error}", Exit.USAGE)
    if not isinstance(arguments, dict):
        fail("--edit takes a JSON object", Exit.USAGE)
    decide(approval, "edit", by, reason, as_json, arguments)


def decide(
    approval: str,
    verdict: str,
    by: str | None,
    reason: str | None,
    as_json: bool,
    arguments: dict[str, Any] | None = None,
) -> NoReturn:
    """Send one decision and show its receipt."""

    async def work() -> dict[str, Any]:
        async with session() as opened:
            row = await SQL["run_of"].row(opened.database, approval_id=approval)
            if row is None:
                fail(f"there is no approval {approval!r}; `stanchion approvals` lists the open ones", Exit.USAGE)
            decision = {"approval_id": approval, "verdict": verdict, "by": by or getpass.getuser(), "reason": reason}
            return await _send(opened, row, decision | ({"arguments": arguments} if arguments is not None else {}))

    receipt = run(work())
    because = f": {receipt['reason']}" if receipt.get("reason") else ""
    show(receipt, as_json=as_json, text=f"{receipt['answer']}{because}")
    raise SystemExit(int(EXITS[receipt["answer"]]))


async def _send(opened: Session, row: Any, decision: dict[str, Any]) -> dict[str, Any]:
    if row["state"] != "open":
        answer = "expired" if row["state"] in ("expired", "withdrawn") else "already decided"
        return {"approval_id": decision["approval_id"], "answer": answer, "reason": f"it is {row['state']!r}"}
    handle = opened.client.get_workflow_handle(row["run_id"])
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            receipt: dict[str, Any] = await handle.execute_update("decide", decision)
            return receipt
    except TimeoutError:
        fail("no worker answered; it is decided once one runs (`stanchion up`), or ask again", Exit.UNREACHABLE)


def resolve(name: str, call: str, verdict: str, by: str | None, reason: str | None, as_json: bool) -> None:
    """`stanchion resolve`."""
    if verdict not in UNKNOWN_VERDICTS:
        fail(f"say one of {', '.join(sorted(UNKNOWN_VERDICTS))}, not {verdict!r}", Exit.USAGE)

    async def find() -> str:
        async with session() as opened:
            run_id = await run_id_of(opened, name)
            row = await SQL["unknown_of"].row(opened.database, run_id=run_id, call_id=call)
            if row is None:
                fail(f"the outcome of call {call} of {run_id} is not in question", Exit.REFUSED)
            return str(row["approval_id"])

    decide(run(find()), verdict, by, reason, as_json)
