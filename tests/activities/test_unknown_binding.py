"""Who says that a call of unknown outcome did not happen lets exactly that call be tried once more, and no other."""

from dataclasses import replace
from typing import Any

import pytest

from activities.gateway.evaluation import evaluator
from activities.tools.registry import find_tool
from tests.harness.door import Call, Door
from tests.harness.outcomes import done, failed
from tests.harness.people import People
from workflows.contracts.approvals import Decision, RecordRequest
from workflows.contracts.calls import Observed, Unknown

STRICTER = 'permit (principal, action, resource); @id("look") @ask forbid (principal, action, resource);'


def changed_tool(module: str, name: str) -> Any:
    """The tool as a worker with other code has it: it calls itself something else to the model."""
    return replace(find_tool(module, name), description="Pay it, and pay it again.")


async def paid_by_a_worker_that_died(door: Door, before_anyone_looks: str = "", **rule: Any) -> tuple[Call, Unknown]:
    """A payment that people approved; the worker died with the claim, and a person is asked what happened."""

    async def dies(where: str) -> None:
        if where == "after-claim":
            raise RuntimeError("killed")

    agent = await door.publish("pay", approvals={"tools": {"pay": rule}})
    run = await door.open(agent, "Pay account 4711-0815 its 500 cents.")
    call = (await door.plan(run, ("pay", {"to": "4711-0815", "cents": 500})))[0]
    asked = await door.asked(call)
    digest = await door.value("SELECT digest FROM approvals WHERE approval_id = $1", asked.approval_id)
    for name in ("ada", "bea", "cid"):
        person = await People.of(door.parts.database).add(name, "finance")
        decision = Decision.model_validate(person.decision(asked.approval_id, digest))
        await door.parts.approvals.record(RecordRequest(run_id=call.run_id, decision=decision))
    with pytest.raises(RuntimeError, match="killed"):
        await door.another(dies).call(call)
    if before_anyone_looks:
        await door.put_policy("acme", before_anyone_looks)
    unknown = await door.call(call)
    assert isinstance(unknown, Unknown)
    return call, unknown


async def did_not(door: Door, call: Call, unknown: Unknown) -> None:
    """Two people say so, as many as a payment takes."""
    for person in ("lee", "kim"):
        await door.decide(unknown, call.run_id, "did-not", by=person)


async def test_who_says_that_a_call_did_not_happen_lets_it_be_tried_once_more(door: Door) -> None:
    call, unknown = await paid_by_a_worker_that_died(door)
    await did_not(door, call, unknown)
    assert done(await door.call(call))
    assert call.happened == 1


@pytest.mark.parametrize("change", ["policy", "tool", "arguments"])
async def test_who_says_that_a_call_did_not_happen_lets_no_other_one_be_tried(
    door: Door, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, unknown = await paid_by_a_worker_that_died(door)
    await did_not(door, call, unknown)
    if change == "policy":
        await door.put_policy("acme", STRICTER)
    elif change == "tool":
        monkeypatch.setattr(evaluator, "find_tool", changed_tool)
    else:
        await door.execute("UPDATE calls SET arguments = replace(arguments::text, '500', '501')::json")
    assert failed(await door.call(call))
    assert call.happened == 0


async def test_a_policy_that_was_set_before_anyone_was_asked_what_happened_is_no_less_a_change(door: Door) -> None:
    call, unknown = await paid_by_a_worker_that_died(door, before_anyone_looks=STRICTER)
    await did_not(door, call, unknown)
    assert failed(await door.call(call))
    assert call.happened == 0


async def test_one_person_alone_never_has_a_payment_tried_again(door: Door) -> None:
    call, unknown = await paid_by_a_worker_that_died(door)
    receipt = await door.decide(unknown, call.run_id, "did-not")
    assert (receipt.answer, receipt.closes) == ("accepted", False)
    assert (await door.decide(unknown, call.run_id, "did-not")).answer == "already decided"
    assert isinstance(await door.call(call), Unknown)
    assert call.happened == 0
    assert (await door.decide(unknown, call.run_id, "did-not", by="kim")).closes
    assert done(await door.call(call))


@pytest.mark.parametrize("verdict", ["happened", "stop"])
async def test_one_person_is_enough_for_an_answer_that_lets_nothing_be_done(door: Door, verdict: str) -> None:
    call, unknown = await paid_by_a_worker_that_died(door)
    await door.decide(unknown, call.run_id, "did-not", by="kim")
    assert (await door.decide(unknown, call.run_id, verdict)).closes
    assert isinstance(await door.call(call), Observed)
    assert call.happened == 0


async def test_what_happened_is_asked_of_those_who_are_asked_about_the_call(door: Door) -> None:
    rule = {"people": 3, "roles": ["finance"], "escalate": {"after_minutes": 30, "roles": ["board"]}}
    call, unknown = await paid_by_a_worker_that_died(door, **rule)
    [asked] = await door.rows(
        "SELECT needed, roles, escalate_roles, escalates_at > now() AS later FROM approvals WHERE approval_id = $1",
        unknown.approval_id,
    )
    assert dict(asked) == {"needed": 3, "roles": ["finance"], "escalate_roles": ["board"], "later": True}
    people = People.of(door.parts.database)
    intern = await people.add("intern")
    digest = await door.value("SELECT digest FROM approvals WHERE approval_id = $1", unknown.approval_id)
    for verdict in ("happened", "did-not", "stop"):
        decision = Decision.model_validate(intern.decision(unknown.approval_id, digest, verdict))
        receipt = await door.parts.approvals.record(RecordRequest(run_id=call.run_id, decision=decision))
        assert "only finance may decide" in receipt.reason
    assert isinstance(await door.call(call), Unknown)
    assert call.happened == 0
