"""`approvals`, `approve`, `reject`, `respond`, `resolve`: people answering, through the one path of the update."""

import asyncio
import getpass
import json
import sys
from typing import Any, NoReturn

from pydantic import ValidationError

from activities.approvals.record import SQL
from workers import keys
from workers.cli.output import Exit, fail, run, show
from workers.cli.temporal_session import handle_of, run_id_of, session
from workers.cli_connection import Session
from workers.services import Home
from workflows.approvals import UNKNOWN_VERDICTS
from workflows.contracts.approvals import Decision
from workflows.contracts.base import explain
from workflows.contracts.messages import MessageReceived

ANSWER_SECONDS = 30.0  # an update waits for a worker; beyond this there is none

EXITS = {"accepted": Exit.OK, "expired": Exit.REFUSED, "already decided": Exit.REFUSED, "not allowed": Exit.REFUSED}


def approve(approval: str, by: str | None, reason: str | None, edit: str | None, repeat: int, as_json: bool) -> None:
    """`stanchion approve`."""
    if edit is None:
        decide(approval, "approve", by, reason, as_json, repeat=repeat)
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
    *,
    repeat: int = 0,
    code: str | None = None,
) -> NoReturn:
    """Send one decision, signed if there is a key on this machine for who decides, and show its receipt."""

    async def work() -> dict[str, Any]:
        async with session() as opened:
            row = await SQL["run_of"].row(opened.database, approval_id=approval)
            if row is None:
                fail(f"there is no approval {approval!r}; `stanchion approvals` lists the open ones", Exit.USAGE)
            who = by or (row["subject"] if code else None) or getpass.getuser()
            made = {"approval_id": approval, "verdict": verdict, "by": who, "reason": reason, "repeat": repeat}
            decision = _decision(made | {"arguments": arguments, "code": code, "digest": row["digest"]})
            signer = None if code else _signer(who)
            return await _send(opened, row, signer.decision(decision) if signer else decision)

    receipt = run(work())
    because = f": {receipt['reason']}" if receipt.get("reason") else ""
    show(receipt, as_json=as_json, text=f"{receipt['answer']}{because}")
    raise SystemExit(int(EXITS[receipt["answer"]]))


def confirm(approval: str, code: str | None, by: str | None, as_json: bool) -> NoReturn:
    """`stanchion confirm`: the code is asked for where somebody can type it unseen."""
    if code is None and not sys.stdin.isatty():
        fail("there is no terminal to ask for the code; give it with --code", Exit.USAGE)
    decide(approval, "approve", by, None, as_json, code=code or getpass.getpass("Code: ").strip())


def endorse(name: str, value: str, by: str | None, as_json: bool) -> None:
    """`stanchion endorse`: a message that restates a value, signed if there is a key for who says it."""

    async def work() -> dict[str, Any]:
        async with session() as opened:
            handle = await handle_of(opened, name)
            who = by or getpass.getuser()
            said = MessageReceived(text="I restate a value that you were refused; try again.", by=who, endorses=value)
            signer = _signer(who)
            message = signer.message(handle.id, said) if signer else said
            await handle.signal("message", message.model_dump(mode="json"))
            return {"run_id": handle.id, "endorses": value, "by": who, "signed": signer is not None}

    told = run(work())
    show(told, as_json=as_json, text=f"told {told['run_id']}: {told['by']} means {value}")


def _decision(fields: dict[str, Any]) -> Decision:
    try:
        return Decision.model_validate(fields)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)


def _signer(who: str) -> keys.Signer | None:
    """The key of this person on this machine, if there is one. Raises KeyExposed, KeyUnreadable."""
    try:
        return keys.load(Home.locate(), who)
    except (keys.KeyMissing, keys.KeyNameInvalid):
        return None


async def _send(opened: Session, row: Any, made: Decision) -> dict[str, Any]:
    decision = made.model_dump(mode="json")
    if row["state"] != "open":
        answer = "expired" if row["state"] in ("expired", "withdrawn", "superseded") else "already decided"
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
