"""A sub-agent may do what all of its line may, and no more."""

from typing import Any

import pytest

from activities.gateway.evaluation import checks
from tests.harness.door import Door
from tests.harness.outcomes import done
from tests.harness.stanchion import unique
from tests.subagents.handing import opened, spawned, started
from workflows.contracts.calls import CallResult, NeedsApproval, Refused

TO_BO = ("send", {"to": "bo@acme.example", "text": "hello"})


async def the_child_sends(door: Door, boss: dict[str, Any], child: dict[str, Any], **request: Any) -> CallResult:
    """What a sub-agent's mail to the address in the user's goal comes to, with these definitions."""
    helper = await door.publish("look", "send", **child)
    agent = await door.publish(*boss.pop("tools", ("look", "send")), delegates=[helper], **boss)
    run_id = await door.open(agent, "Write to bo@acme.example.", **request)
    [call] = await door.plan(run_id, ("delegate", {"agent": helper, "task": "Write to bo."}))
    spawn = await spawned(door, call)
    await opened(door, spawn)
    [send] = await door.plan(spawn.run_id, TO_BO)
    return await door.call(send)


WIDE = {"send": {"to": {"domains": ["acme.example"]}}}
NARROW = {"send": {"to": {"domains": ["other.example"]}}}
NONE = {"look": {}}


async def test_what_both_are_granted_is_done(door: Door) -> None:
    assert done(await the_child_sends(door, {"grants": WIDE}, {"grants": WIDE}))


@pytest.mark.parametrize("boss", [{"grants": NARROW}, {"grants": NONE}, {"grants": NONE, "tools": ("look",)}])
async def test_what_the_one_above_is_not_granted_its_sub_agent_is_denied(door: Door, boss: dict[str, Any]) -> None:
    answer = await the_child_sends(door, boss, {"grants": WIDE})
    assert isinstance(answer, Refused) and answer.rule.startswith("grant.")


@pytest.mark.parametrize("boss", [{}, {"grants": WIDE, "approvals": {"tools": {"send": {"always": True}}}}])
async def test_what_the_one_above_would_be_asked_about_its_sub_agent_is_asked_about(
    door: Door, boss: dict[str, Any]
) -> None:
    assert isinstance(await the_child_sends(door, boss, {"grants": WIDE}), NeedsApproval)


async def test_it_runs_in_the_strictest_mode_of_its_line(door: Door) -> None:
    asked = await the_child_sends(door, {"grants": WIDE, "mode": "propose"}, {"grants": WIDE, "mode": "autonomous"})
    assert isinstance(asked, NeedsApproval)
    asked = await the_child_sends(door, {"grants": WIDE}, {"grants": WIDE, "mode": "autonomous"}, mode="observe")
    assert isinstance(asked, Refused) and asked.rule == "mode.observe"


async def test_a_policy_that_forbids_it_to_the_one_above_forbids_it_to_its_sub_agent(door: Door) -> None:
    boss = unique("agent")
    await door.put_policy(
        "acme",
        f'@id("no-mail") @reason("not that one") forbid (principal == Agent::"{boss}", action == Action::"send", '
        "resource); permit (principal, action, resource);",
    )
    answer = await the_child_sends(door, {"name": boss, "grants": WIDE}, {"grants": WIDE})
    assert isinstance(answer, Refused) and "no-mail" in answer.rule
    assert done(await the_child_sends(door, {"grants": WIDE}, {"grants": WIDE}))


async def test_with_the_line_broken_a_sub_agent_would_do_what_the_one_above_may_not(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_strictest", lambda own, above: own)
    assert done(await the_child_sends(door, {"grants": NONE, "tools": ("look",)}, {"grants": WIDE}))


async def test_a_day_of_the_agent_above_is_used_up_by_its_sub_agents_too(door: Door) -> None:
    once = {"send": {"to": {"domains": ["acme.example"]}, "per_day": 1}}
    helper = await door.publish("look", "send", grants=WIDE)
    agent = await door.publish("look", "send", delegates=[helper], grants=once)
    answers = []
    for n in range(2):
        run_id = await door.open(agent, "Write to bo@acme.example.")
        [call] = await door.plan(run_id, ("delegate", {"agent": helper, "task": f"Write to bo, {n}."}))
        spawn = await spawned(door, call)
        await opened(door, spawn)
        [send] = await door.plan(spawn.run_id, TO_BO)
        answers.append(await door.call(send))
    assert done(answers[0])
    assert isinstance(answers[1], Refused) and answers[1].rule == "grant.per-day"


async def test_who_asked_for_the_first_run_does_not_approve_what_its_sub_agent_wants(door: Door) -> None:
    helper = await door.publish("look", "send")
    agent = await door.publish("look", "send", delegates=[helper])
    _, spawn = await started(door, agent, helper)
    [send] = await door.plan(spawn.run_id, TO_BO)
    asked = await door.asked(send)
    receipt = await door.decide(asked, spawn.run_id, by="ana")
    assert receipt.answer == "not allowed"
    assert (await door.decide(asked, spawn.run_id, by="lee")).answer == "accepted"


async def test_as_many_people_decide_as_the_one_above_needs(door: Door) -> None:
    rules = {"tools": {"send": {"people": 2}}}
    asked = await the_child_sends(door, {"approvals": rules}, {})
    assert isinstance(asked, NeedsApproval)
    assert await door.value("SELECT needed FROM approvals WHERE approval_id = $1", asked.approval_id) == 2
