"""The bodies of the commands with which people decide. A decision goes to the run as a workflow update."""

import getpass
import json
import sys
from typing import Any, NoReturn

from pydantic import ValidationError

from activities.approvals.record import SQL
from workers import keys
from workers.cli.database_session import find_run_id
from workers.cli.output import Exit, fail, run, say, show
from workers.cli.runs.messages import send_message
from workers.cli.temporal_session import find_run_handle, open_session
from workers.cli_connection import Session
from workers.services import Home
from workers.updates import NoWorkerAnswered, execute_update
from workflows.approvals import UNKNOWN_VERDICTS
from workflows.contracts.approvals import Decision
from workflows.contracts.base import explain
from workflows.contracts.messages import MessageReceived

ANSWER_SECONDS = 30.0  # an update waits for a worker; after this time we assume that none runs

NO_WORKER = (
    "no worker answered; the decision is stored with the run, and is verified once a worker runs (`stanchion up`), "
    "unless it expires first"
)

EXITS = {"accepted": Exit.OK, "expired": Exit.REFUSED, "already decided": Exit.REFUSED, "not allowed": Exit.REFUSED}


def approve(approval: str, by: str | None, reason: str | None, edit: str | None, repeat: int, as_json: bool) -> None:
    """`stanchion approve`; with `--edit`, approves the call with other arguments."""
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
    """Send a decision, signed if the person has a key on this machine, and print its receipt."""

    async def work() -> dict[str, Any]:
        async with open_session() as session:
            row = await SQL["run_of"].row(session.database, approval_id=approval)
            if row is None:
                fail(f"there is no approval {approval!r}; `stanchion approvals` lists the open ones", Exit.USAGE)
            person = by or (row["subject"] if code else None) or getpass.getuser()
            fields = {"approval_id": approval, "verdict": verdict, "by": person, "reason": reason, "repeat": repeat}
            decision = _validated(fields | {"arguments": arguments, "code": code, "digest": row["digest"]})
            signer = None if code else _find_signer(person)
            return await _send(session, row, signer.decision(decision) if signer else decision)

    receipt = run(work())
    reason_text = f": {receipt['reason']}" if receipt.get("reason") else ""
    show(receipt, as_json=as_json, text=f"{receipt['answer']}{reason_text}")
    raise SystemExit(int(EXITS[receipt["answer"]]))


def confirm(approval: str, code: str | None, by: str | None, as_json: bool) -> NoReturn:
    """`stanchion confirm`: approves with a one-time code, which is prompted for without echo if not given."""
    if code is None and not sys.stdin.isatty():
        fail("there is no terminal to prompt for the code; give it with --code", Exit.USAGE)
    decide(approval, "approve", by, None, as_json, code=code or getpass.getpass("Code: ").strip())


def endorse(name: str, value: str, by: str | None, as_json: bool) -> None:
    """`stanchion endorse`: sends a message that restates a value, signed if the person has a key on this machine."""

    async def work() -> dict[str, Any]:
        async with open_session() as session:
            handle = await find_run_handle(session, name)
            person = by or getpass.getuser()
            text = "I restate a value that you were refused; try again."
            message = MessageReceived(text=text, by=person, endorses=value)
            signer = _find_signer(person)
            if signer:
                message = signer.message(handle.id, message)
            say(await send_message(handle, message))
            return {"run_id": handle.id, "endorses": value, "by": person, "signed": signer is not None}

    sent = run(work())
    show(sent, as_json=as_json, text=f"sent to {sent['run_id']}: {sent['by']} vouches for {value}")


def _validated(fields: dict[str, Any]) -> Decision:
    try:
        return Decision.model_validate(fields)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)


def _find_signer(name: str) -> keys.Signer | None:
    """Return the signer with this person's key, or None if it is not here. Raises KeyExposed, KeyUnreadable."""
    try:
        return keys.load(Home.locate(), name)
    except (keys.KeyMissing, keys.KeyNameInvalid):
        return None


async def _send(session: Session, row: Any, decision: Decision) -> dict[str, Any]:
    """Send the decision to its run and return the receipt. If the approval is closed, sends nothing."""
    if row["state"] != "open":
        answer = "expired" if row["state"] in ("expired", "withdrawn", "superseded") else "already decided"
        return {"approval_id": decision.approval_id, "answer": answer, "reason": f"it is {row['state']!r}"}
    handle = session.client.get_workflow_handle(row["run_id"])
    try:
        fields = decision.model_dump(mode="json")
        receipt: dict[str, Any] = await execute_update(handle, "decide", fields, ANSWER_SECONDS)
        return receipt
    except NoWorkerAnswered:
        await handle.signal("decision", decision.model_dump(mode="json"))
        fail(NO_WORKER, Exit.UNREACHABLE)


def resolve(name: str, call: str, verdict: str, by: str | None, reason: str | None, as_json: bool) -> None:
    """`stanchion resolve`: states the outcome of an effect, as a decision on its approval."""
    if verdict not in UNKNOWN_VERDICTS:
        fail(f"say one of {', '.join(sorted(UNKNOWN_VERDICTS))}, not {verdict!r}", Exit.USAGE)

    async def find() -> str:
        async with open_session() as session:
            run_id = await find_run_id(session.database, name)
            row = await SQL["unknown_of"].row(session.database, run_id=run_id, call_id=call)
            if row is None:
                fail(f"the outcome of call {call} of {run_id} is not unknown", Exit.REFUSED)
            return str(row["approval_id"])

    decide(run(find()), verdict, by, reason, as_json)
