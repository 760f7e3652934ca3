"""Whose a decision is, proved end to end: real Temporal, a worker that takes no unsigned word, and the command line."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from activities.identity.signatures import new_key, verify
from activities.identity.statements import decision_statement
from tests.harness.people import DELIVER, People, Person, code_for, refusal
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS
from tests.harness.typed import Terminal
from workers.keys import Signer
from workers.services import Services
from workflows.contracts.approvals import Decision

pytestmark = pytest.mark.slow

Handle = WorkflowHandle[Any, Any]
Systems = Callable[..., Stanchion]

BO, LEE, KIM, ANA = (f"{name}@acme.example" for name in ("bo", "lee", "kim", "ana"))
TURNS = [{"tools": [{"name": "send", "input": {"to": BO}}]}, {"text": "done"}]


@pytest_asyncio.fixture
async def strict(systems: Systems) -> Stanchion:
    """A running system as one is in production: what is not signed does not count."""
    return await systems(dangerously_accept_unsigned_decisions=False).up()


@pytest.fixture
def terminal(services: Services, database_url: str, tmp_path: Path) -> Terminal:
    """Lee's terminal."""
    servers = {"TEMPORAL_ADDRESS": services.temporal.address, "DATABASE_URL": database_url}
    return Terminal(tmp_path / "home", servers)


async def asking(stanchion: Stanchion, approvals: dict[str, Any] | None = None, **request: Any) -> tuple[Handle, str]:
    """A run of tenant acme that waits for its approval, and the approval's id."""
    agent = await stanchion.publish(TURNS, "send", approvals=approvals or {})
    handle = await stanchion.start(agent, **{"tenant": "acme", "requester": ANA} | request)
    return handle, (await stanchion.approval(handle))["approval_id"]


async def digest_of(stanchion: Stanchion, approval_id: str) -> str:
    return str(await stanchion.value("SELECT digest FROM approvals WHERE approval_id = $1", approval_id))


def people_of(stanchion: Stanchion) -> People:
    return People.of(stanchion.parts.database)


async def done(stanchion: Stanchion, handle: Handle) -> None:
    """The run is over, and the call happened exactly once."""
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert WITNESS[f"{handle.id}/1.0"] == 1


async def test_a_decision_signed_with_a_registered_key_counts_and_is_stored_with_its_proof(strict: Stanchion) -> None:
    handle, approval_id = await asking(strict)
    lee = await people_of(strict).add(LEE)
    said = lee.decision(approval_id, await digest_of(strict, approval_id), by=" Lee@ACME.example")
    receipt = await handle.execute_update("decide", said)
    assert (receipt["answer"], receipt["closes"]) == ("accepted", True)
    await done(strict, handle)
    [row] = await strict.rows("SELECT by, verdict, proof, signed, key, signature FROM decisions")
    assert tuple(row) == (LEE, "approve", "signature", True, lee.signer.key_id, said["signature"])
    assert verify(lee.signer.public, decision_statement(Decision.model_validate(said)), row["signature"])


async def test_it_counts_as_a_signal_too(strict: Stanchion) -> None:
    handle, approval_id = await asking(strict)
    lee = await people_of(strict).add(LEE)
    await handle.signal("decision", lee.decision(approval_id, await digest_of(strict, approval_id)))
    await done(strict, handle)


async def test_a_surface_signs_for_whom_it_authenticated(strict: Stanchion) -> None:
    handle, approval_id = await asking(strict)
    people = people_of(strict)
    await people.add(LEE)
    said = Person(LEE, await people.surface()).decision(approval_id, await digest_of(strict, approval_id))
    assert (await handle.execute_update("decide", said))["answer"] == "accepted"
    await done(strict, handle)


# ── what does not count ─────────────────────────────────────────────────────────────────────────────────────────────

Forge = Callable[[People, Person, str, str], Awaitable[dict[str, Any]]]


async def unsigned(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return {"approval_id": approval_id, "verdict": "approve", "by": LEE, "digest": digest}


async def signed_by_nobody_we_know(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return Person(LEE, Signer.of(new_key())).decision(approval_id, digest)


async def with_the_key_id_of_another(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return Person(LEE, Signer(lee.signer.key_id, new_key())).decision(approval_id, digest)


async def for_someone_else(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    await people.add(KIM)
    return lee.decision(approval_id, digest, by=KIM)


async def by_a_surface_for_nobody(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return Person(KIM, await people.surface()).decision(approval_id, digest)


async def altered_from_no_to_yes(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return lee.decision(approval_id, digest, "reject", reason="no") | {"verdict": "approve"}


async def with_other_arguments(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return lee.decision(approval_id, digest, "edit", arguments={"to": BO}) | {"arguments": {"to": "eve@evil.example"}}


async def for_another_approval(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return lee.decision("ap-other", digest) | {"approval_id": approval_id}


async def for_another_digest(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return lee.decision(approval_id, "0" * 64)


async def with_the_digest_put_right_afterwards(
    people: People, lee: Person, approval_id: str, digest: str
) -> dict[str, Any]:
    return lee.decision(approval_id, "0" * 64) | {"digest": digest}


async def too_old(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return lee.decision(approval_id, digest, at=datetime.now(UTC) - timedelta(minutes=10))


async def too_new(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return lee.decision(approval_id, digest, at=datetime.now(UTC) + timedelta(minutes=10))


async def with_a_revoked_key(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    await people.principals.revoke_key(lee.signer.key_id)
    return lee.decision(approval_id, digest)


async def by_who_asked_for_it(people: People, lee: Person, approval_id: str, digest: str) -> dict[str, Any]:
    return (await people.add(ANA)).decision(approval_id, digest, by="Ana@Acme.example")


FORGERIES: dict[Forge, str] = {
    unsigned: "it is not signed",
    signed_by_nobody_we_know: "is not registered",
    with_the_key_id_of_another: "does not fit",
    for_someone_else: "signs for nobody else",
    by_a_surface_for_nobody: f"{KIM} is not registered",
    altered_from_no_to_yes: "changed after it was signed",
    with_other_arguments: "changed after it was signed",
    for_another_approval: "changed after it was signed",
    for_another_digest: "another call than the one that is asked",
    with_the_digest_put_right_afterwards: "changed after it was signed",
    too_old: "a replay",
    too_new: "in the future",
    with_a_revoked_key: "is revoked",
    by_who_asked_for_it: "never approves it",
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
async def test_a_decision_is_refused_with_a_reason_that_is(strict: Stanchion, forge: Forge) -> None:
    handle, approval_id = await asking(strict)
    people = people_of(strict)
    lee, kim = await people.add(LEE), await people.add("max@acme.example")
    digest = await digest_of(strict, approval_id)
    assert FORGERIES[forge] in refusal(
        await handle.execute_update("decide", await forge(people, lee, approval_id, digest))
    )
    assert await strict.value("SELECT state FROM approvals") == "open"
    assert await strict.value("SELECT count(*) FROM decisions") == WITNESS[f"{handle.id}/1.0"] == 0
    assert (await handle.execute_update("decide", kim.decision(approval_id, digest)))["answer"] == "accepted"
    await done(strict, handle)  # it was the forgery that was refused


async def test_one_run_never_takes_the_yes_to_another_and_never_the_same_yes_twice(strict: Stanchion) -> None:
    handle, approval_id = await asking(strict, {"tools": {"send": {"people": 2}}})
    other, _ = await asking(strict)
    lee, kim = [await people_of(strict).add(name) for name in (LEE, KIM)]
    digest = await digest_of(strict, approval_id)
    said = lee.decision(approval_id, digest)
    assert (await handle.execute_update("decide", said))["answer"] == "accepted"
    again = await asyncio.gather(*(handle.execute_update("decide", said) for _ in range(20)))
    assert {receipt["answer"] for receipt in again} == {"already decided"}
    assert "no such" in refusal(await other.execute_update("decide", said))
    assert (await handle.execute_update("decide", kim.decision(approval_id, digest)))["closes"]
    await done(strict, handle)
    assert await strict.value("SELECT count(*) FROM decisions") == 2
    await other.signal("halt")


@pytest.mark.parametrize("field", [{"reason": "x" * 4_001}, {"by": "x" * 321}, {"signature": "x" * 1_001}])
async def test_an_over_long_decision_is_refused_at_the_door(strict: Stanchion, field: dict[str, str]) -> None:
    handle, approval_id = await asking(strict)
    said = {"approval_id": approval_id, "verdict": "approve", "by": LEE} | field
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update("decide", said)
    assert next(iter(field)) in str(refused.value.cause)
    assert await strict.value("SELECT state FROM approvals") == "open"
    await handle.signal("halt")


async def test_with_the_switch_on_an_unsigned_decision_counts_and_is_marked_so(stanchion: Stanchion) -> None:
    handle, approval_id = await asking(stanchion)
    said = {"approval_id": approval_id, "verdict": "approve", "by": LEE}
    assert (await handle.execute_update("decide", said))["answer"] == "accepted"
    await done(stanchion, handle)
    [row] = await stanchion.rows("SELECT by, proof, signed, key, signature FROM decisions")
    assert tuple(row) == (LEE, "unsigned", False, None, None)


# ── at the command line ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_whoever_has_a_key_here_approves_from_a_terminal_and_nobody_else_does(
    strict: Stanchion, terminal: Terminal
) -> None:
    handle, approval_id = await asking(strict, {"tools": {"send": {"roles": ["it-admin"]}}})
    added = await terminal("principals", "add", LEE, "--role", "it-admin", "--tenant", "acme", "--json")
    assert (added.code, added.data["roles"]) == (0, ["it-admin"])
    without = await terminal("approve", approval_id, "--by", LEE, "--json")
    assert (without.code, without.data["answer"]) == (3, "not allowed")
    assert "it is not signed" in without.data["reason"]
    made = await terminal("keys", "new", LEE, "--tenant", "acme", "--json")
    assert made.code == 0, made.err
    assert Path(made.data["file"]).is_relative_to(terminal.home / "keys")
    [shown] = (await terminal("approvals", "--json")).data
    assert (shown["approval_id"], shown["waits_for"]) == (approval_id, "one of it-admin")
    approved = await terminal("approve", approval_id, "--by", LEE, "--json")
    assert (approved.code, approved.data["answer"]) == (0, "accepted"), approved
    await done(strict, handle)
    assert tuple((await strict.rows("SELECT by, proof, key FROM decisions"))[0]) == (LEE, "signature", made.data["key"])
    [habit] = (await terminal("approvers", "--json")).data
    assert (habit["approver"], habit["decided"], habit["warning"]) == (LEE, 1, None)


async def test_the_subject_confirms_from_a_terminal_with_the_code_alone(strict: Stanchion, terminal: Terminal) -> None:
    rules = {"deliver": DELIVER, "tools": {"send": {"people": 0, "confirm": "to"}}}
    handle, approval_id = await asking(strict, rules)

    async def delivered() -> bool:
        return bool(code_for(handle.id))

    await eventually(delivered, "a code is delivered")
    wrong = await terminal("confirm", approval_id, "--code", "1")
    assert (wrong.code, "not the code that was sent" in wrong.out) == (3, True)
    right = await terminal("confirm", approval_id, "--code", code_for(handle.id))
    assert (right.code, right.out.strip()) == (0, "accepted")
    await done(strict, handle)
