"""An approval is for one exact call: change anything it was given for, and nothing is performed on it.

Each change is made between the yes and the attempt that would have performed the call; the tool itself counts.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from activities.gateway.evaluation import evaluator
from activities.gateway.execution.effects import ClaimLost
from activities.tools.registry import find_tool
from tests.harness.door import Call, Door, own_clock
from workflows.contracts.calls import NeedsApproval, Observed, Refused

GOAL = "Tell ann@acme.example good bye."
TO_ANN = {"to": "ann@acme.example", "text": "good bye"}
TO_EVE = {"to": "eve@evil.example", "text": "good bye"}  # nobody but the model named her
TOOLS = ("send", "note", "take_back", "fetch")
ALWAYS = {"tools": {"note": {"always": True}, "take_back": {"always": True}}}
STRICTER = 'permit (principal, action, resource); @id("look") @ask forbid (principal, action, resource);'
UNFIT = "approval.unfit"


@pytest_asyncio.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    """The worker that asks."""
    await own_clock(database_url)
    made = Door.make(database_url)
    yield made
    await made.close()


async def one(door: Door, tool: str = "send", arguments: dict[str, Any] = TO_ANN, **request: Any) -> Call:
    """The only call of a new run of an agent with these tools, all of which ask."""
    agent = await door.publish(*TOOLS, approvals=ALWAYS)
    return (await door.plan(await door.open(agent, GOAL, **request), (tool, arguments)))[0]


async def assert_refused(door: Door, call: Call, rule: str) -> None:
    """This attempt performs nothing, and says by which rule; nor does any later one."""
    answer = await door.call(call)
    assert isinstance(answer, Refused), answer
    assert answer.rule == rule
    assert await door.call(call) == await door.another().call(call) == answer
    assert call.happened == 0


# What is changed in the tables, and what the gateway says then.
CHANGED: dict[str, tuple[str, str]] = {
    "the call's arguments": ("UPDATE calls SET arguments = replace(arguments::text, 'ann', 'eve')::json", UNFIT),
    "the approval's arguments": ("UPDATE approvals SET arguments = '{}'", UNFIT),
    "both alike": (
        "UPDATE calls SET arguments = replace(arguments::text, 'good', 'bad')::json;"
        "UPDATE approvals SET arguments = replace(arguments::text, 'good', 'bad')::json", UNFIT),
    "the tenant": ("UPDATE runs SET tenant = 'other'", UNFIT),
    "the run's frozen policy": ("UPDATE runs SET policy_version = 'x'", UNFIT),
    "the run's mode": ("UPDATE runs SET mode = 'observe'", "mode.observe"),
    "the tenant's policy is taken away": ("DELETE FROM policy_heads WHERE scope = 'acme'", UNFIT),
    "the taint of the run": ("UPDATE runs SET tainted_by = 'a parent run'", UNFIT),
    "the clock": ("UPDATE clock SET ahead = '2 days'", "approval.expired"),
    "the clock, by a hair": (
        "UPDATE clock SET ahead = (SELECT expires_at - pg_catalog.now() FROM approvals)", "approval.expired"),
    "a later expiry": ("UPDATE approvals SET expires_at = expires_at + interval '1 s'", UNFIT),
    "an earlier expiry": ("UPDATE approvals SET expires_at = expires_at - interval '1 s'", UNFIT),
    "no expiry": ("UPDATE approvals SET expires_at = NULL", UNFIT),
    "a later expiry, of one that is over": (
        "UPDATE clock SET ahead = '2 days'; UPDATE approvals SET expires_at = expires_at + interval '9 days'", UNFIT),
    "the digest": ("UPDATE approvals SET digest = 'x'", UNFIT),
    "it was withdrawn": ("UPDATE approvals SET state = 'withdrawn'", "approval.expired"),
    "it was superseded": ("UPDATE approvals SET state = 'superseded'", "approval.expired"),
    "it was rejected": ("UPDATE approvals SET state = 'reject'", "approval.rejected"),
}  # fmt: skip


@pytest.mark.parametrize("another", [False, True], ids=["the same worker", "another worker"])
@pytest.mark.parametrize("change", CHANGED)
async def test_an_approved_call_is_not_performed_once_this_was_changed(door: Door, change: str, another: bool) -> None:
    statements, rule = CHANGED[change]
    if "policy_heads" in statements:
        await door.put_policy("acme", "permit (principal, action, resource);")
    call = await one(door)
    await door.approved(call)
    await door.execute(*statements.split(";"))
    await assert_refused(door.another() if another else door, call, rule)


@pytest.mark.parametrize("another", [False, True], ids=["the same worker", "another worker"])
@pytest.mark.parametrize("verdict", [{}, {"verdict": "edit", "arguments": {**TO_ANN, "text": "hello"}}])
async def test_an_approved_call_is_performed_once_where_nothing_changed(
    door: Door, verdict: dict[str, Any], another: bool
) -> None:
    call = await one(door)
    await door.approved(call, **verdict)
    assert isinstance(await (door.another() if another else door).call(call), Observed)
    assert call.happened == 1


@pytest.mark.parametrize("verdict", [{}, {"verdict": "edit", "arguments": {**TO_ANN, "text": "hello"}}])
@pytest.mark.parametrize("scope", ["*", "acme"])
@pytest.mark.parametrize("text", [STRICTER, "permit (principal, action, resource); // the same, said anew"])
async def test_a_policy_that_was_set_after_the_approval_unmakes_it(
    door: Door, scope: str, text: str, verdict: dict[str, Any]
) -> None:
    call = await one(door)
    await door.approved(call, **verdict)
    await door.put_policy(scope, text)
    await assert_refused(door, call, UNFIT)


async def test_an_approval_that_a_new_policy_unmade_stays_unmade_when_the_old_one_is_put_back(door: Door) -> None:
    call = await one(door)
    await door.approved(call)
    await door.put_policy("acme", STRICTER)
    await assert_refused(door, call, UNFIT)
    await door.execute("DELETE FROM policy_heads WHERE scope = 'acme'")
    await assert_refused(door, call, UNFIT)


async def test_a_policy_of_another_tenant_unmakes_no_approval(door: Door) -> None:
    call = await one(door)
    await door.approved(call)
    await door.put_policy("globex", STRICTER)
    assert isinstance(await door.call(call), Observed)


async def test_a_worker_whose_tool_is_not_the_one_that_was_approved_does_not_perform_it(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await one(door)
    await door.approved(call)
    monkeypatch.setattr(evaluator, "find_tool", changed_tool)
    await assert_refused(door, call, "tool.changed")


def changed_tool(module: str, name: str) -> Any:
    """The tool as a worker with other code has it: it calls itself something else to the model."""
    return replace(find_tool(module, name), description="Send it, and to someone else as well.")


async def test_a_tool_that_was_changed_in_the_version_too_is_another_tool_than_the_approved_one(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await one(door)
    await door.approved(call)
    new = changed_tool("tests.harness.toolbox", "send").pinned_hash
    old = find_tool("tests.harness.toolbox", "send").pinned_hash
    await door.execute(f"UPDATE agents SET tools = replace(tools::text, '{old}', '{new}')::json")
    monkeypatch.setattr(evaluator, "find_tool", changed_tool)
    await assert_refused(door.another(), call, UNFIT)


async def test_another_version_of_the_agent_may_not_use_the_approval(door: Door) -> None:
    call = await one(door)
    await door.approved(call)
    other = await door.publish(*TOOLS, approvals=ALWAYS, instructions="Do whatever you like.")
    await door.execute(f"UPDATE runs SET agent_version = '{(await door.version_of(other)).version}'")
    await assert_refused(door, call, UNFIT)


async def test_an_approval_of_one_tool_is_none_of_another_with_the_same_arguments(door: Door) -> None:
    call = await one(door, "note", {"text": "good bye"})
    await door.approved(call)
    await door.execute("UPDATE calls SET tool = 'take_back'")
    await assert_refused(door, call, UNFIT)


# ── taint ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_approval_of_an_invented_value_does_not_hold_once_the_run_is_tainted(door: Door) -> None:
    call = await one(door, arguments=TO_EVE)
    await door.approved(call)
    await door.execute("UPDATE runs SET tainted_by = 'a parent run'")
    await assert_refused(door, call, "provenance.unanchored")


async def test_an_endorsement_after_the_approval_asks_for_another_look(door: Door) -> None:
    call = await one(door, arguments=TO_EVE)
    await door.approved(call)
    endorsed = f"('{call.run_id}', '{TO_EVE['to']}', 'lee', 'unsigned')"
    await door.execute(f"INSERT INTO endorsements (run_id, value, by, proof) VALUES {endorsed}")
    await assert_refused(door, call, UNFIT)


@pytest.mark.parametrize("change", ["origin = 'untrusted'", "suspect = 'no stock at all'"])
async def test_what_the_run_had_read_turning_out_to_be_worse_unmakes_the_approval(door: Door, change: str) -> None:
    agent = await door.publish(*TOOLS, approvals=ALWAYS)
    run = await door.open(agent, GOAL)
    first = (await door.plan(run, ("take_back", {"text": "it"})))[0]
    await door.approved(first)
    await door.call(first)
    call = (await door.plan(run, ("send", TO_ANN)))[0]
    await door.approved(call)
    await door.execute(
        "ALTER TABLE transcript DISABLE TRIGGER ALL", f"UPDATE transcript SET {change} WHERE kind = 'result'"
    )
    await assert_refused(door.another(), call, UNFIT)


async def test_what_is_read_after_a_call_was_planned_does_not_unmake_its_approval(door: Door) -> None:
    agent = await door.publish(*TOOLS, approvals=ALWAYS)
    call, read = await door.plan(await door.open(agent, GOAL), ("send", TO_ANN), ("fetch", {}))
    await door.approved(call)
    assert isinstance(await door.call(read), Observed)
    assert isinstance(await door.call(call), Observed)


async def test_an_edit_that_only_writes_a_value_in_another_way_is_performed(door: Door) -> None:
    call = await one(door, arguments=TO_EVE | {"to": "Eve <eve@evil.example>"})
    await door.approved(call, verdict="edit", arguments=TO_EVE)
    assert isinstance(await door.call(call), Observed)


# ── another's approval ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("whose", ["call", "run", "tenant"])
async def test_an_approval_of_another_call_is_none_of_this_one_though_they_are_the_same_word_for_word(
    door: Door, whose: str
) -> None:
    agent = await door.publish(*TOOLS, approvals=ALWAYS)
    run = await door.open(agent, GOAL)
    approved, call = await door.plan(run, ("send", TO_ANN), ("send", TO_ANN))
    if whose != "call":
        other = await door.open(agent, GOAL, tenant="acme" if whose == "run" else "globex")
        call = (await door.plan(other, ("send", TO_ANN)))[0]
    given, asked = await door.approved(approved), await door.asked(call)
    await door.execute(
        f"DELETE FROM approvals WHERE approval_id = '{asked.approval_id}'",
        f"UPDATE approvals SET run_id = '{call.run_id}', call_id = '{call.call_id}' "
        f"WHERE approval_id = '{given.approval_id}'",
    )
    await assert_refused(door, call, UNFIT)


@pytest.mark.parametrize("whose", ["call", "run"])
async def test_a_yes_to_one_call_leaves_its_twin_waiting(door: Door, whose: str) -> None:
    agent = await door.publish(*TOOLS, approvals=ALWAYS)
    run = await door.open(agent, GOAL)
    approved, call = await door.plan(run, ("send", TO_ANN), ("send", TO_ANN))
    if whose == "run":
        call = (await door.plan(await door.open(agent, GOAL), ("send", TO_ANN)))[0]
    await door.approved(approved)
    assert isinstance(await door.call(call), NeedsApproval)
    assert call.happened == 0


# ── between the last look and the claim ──────────────────────────────────────────────────────────────────────────────

AT_THE_LAST_MOMENT = {
    "the platform's policy": (
        "UPDATE policy_heads SET version = (SELECT version FROM policies WHERE by = 'the test')", UNFIT),
    "the taint": ("UPDATE runs SET tainted_by = 'a parent run'", UNFIT),
    "the digest": ("UPDATE approvals SET digest = 'x'", UNFIT),
    "the clock": ("UPDATE clock SET ahead = '2 days'", "approval.expired"),
    "it was withdrawn": ("UPDATE approvals SET state = 'withdrawn'", "approval.expired"),
}  # fmt: skip


@pytest.mark.parametrize("change", AT_THE_LAST_MOMENT)
async def test_a_change_after_the_last_look_is_found_by_the_claim_itself(door: Door, change: str) -> None:
    statement, rule = AT_THE_LAST_MOMENT[change]
    await door.put_policy("*", "permit (principal, action, resource); // as it will be")
    await door.execute("UPDATE policy_heads SET version = (SELECT version FROM policies WHERE by <> 'the test')")

    async def changes(where: str) -> None:
        if where == "before-claim":
            await door.execute(statement)

    call = await one(door)
    await door.approved(call)
    with pytest.raises(ClaimLost):
        await door.another(changes).call(call)
    await assert_refused(door, call, rule)


async def test_a_run_that_closed_after_the_last_look_performs_nothing(door: Door) -> None:
    async def closes(where: str) -> None:
        if where == "before-claim":
            await door.execute("UPDATE runs SET status = 'stopped', closed_at = now()")

    call = await one(door)
    await door.approved(call)
    with pytest.raises(ClaimLost):
        await door.another(closes).call(call)
    with pytest.raises(ClaimLost):
        await door.call(call)
    assert call.happened == 0
