"""An agent as one of the people who are asked: never alone, never with tools, never in anyone's way."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.agents.definition import DefinitionInvalid
from tests.harness.checks import assert_sound
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import WITNESS

Handle = WorkflowHandle[Any, Any]
Systems = Callable[..., Stanchion]

SEND = {"tools": [{"name": "send", "input": {"to": "bo@acme.example", "text": "the report"}}]}
DONE = {"text": "done"}
YES = {"text": json.dumps({"verdict": "approve", "reason": "the goal asks for it"})}
NO = {"text": json.dumps({"verdict": "reject", "reason": "nobody asked for this"})}
SEEN: list[str] = []  # what reviewers of this module were shown


def watching(step: int, messages: Any) -> dict[str, Any]:
    """A reviewer that keeps what it was shown, and says yes."""
    SEEN.append(messages[0].blocks[0].text)
    return YES


@pytest.fixture
async def stanchion(systems: Systems) -> Stanchion:
    return await systems().up()


async def asked(stanchion: Stanchion, reviewer: str, goal: str = "Send bo@acme.example the report.") -> Handle:
    """A run that wants to send, which takes two people, one of whom may be this agent."""
    rules = {"tools": {"send": {"people": 2, "reviewer": reviewer}}}
    agent = await stanchion.publish([SEND, DONE], "send", approvals=rules)
    return await stanchion.start(agent, goal, requester="ana")


async def reviewed(stanchion: Stanchion, handle: Handle) -> Any:
    """The stored review, once there is one."""

    async def stored() -> Any:
        return await stanchion.rows("SELECT v.* FROM reviews v JOIN approvals USING (approval_id) WHERE run_id = $1",
                                    handle.id)  # fmt: skip

    return (await eventually(stored, "the reviewer gave its opinion"))[0]


def performed(handle: Handle) -> int:
    return sum(count for key, count in WITNESS.items() if key.startswith(handle.id))


async def test_the_yes_of_a_reviewer_is_one_of_two_and_a_person_has_to_give_the_other(stanchion: Stanchion) -> None:
    reviewer = (await stanchion.publish([YES], name=unique("reviewer"))).definition.name
    handle = await asked(stanchion, reviewer)
    assert (await reviewed(stanchion, handle))["verdict"] == "approve"
    assert await stanchion.value("SELECT state FROM approvals WHERE run_id = $1", handle.id) == "open"
    assert performed(handle) == 0

    receipt = await stanchion.decide(handle, "approve", by="lee")

    assert receipt["answer"] == "accepted" and receipt["closes"]
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert performed(handle) == 1
    said = await stanchion.rows(
        "SELECT by, proof FROM decisions JOIN approvals USING (approval_id) WHERE run_id = $1", handle.id
    )
    assert {(row["by"], row["proof"]) for row in said} == {(f"agent:{reviewer}", "agent"), ("lee", "unsigned")}
    await assert_sound(stanchion, handle.id)


async def test_the_no_of_a_reviewer_is_shown_and_leaves_all_of_it_to_people(stanchion: Stanchion) -> None:
    reviewer = (await stanchion.publish([NO], name=unique("reviewer"))).definition.name
    handle = await asked(stanchion, reviewer)
    assert (await reviewed(stanchion, handle))["reason"] == "nobody asked for this"

    first = await stanchion.decide(handle, "approve", by="lee")
    assert not first.get("closes") and "1 of 2" in first["reason"] and performed(handle) == 0
    second = await stanchion.decide(handle, "approve", by="kim")

    assert second["closes"]
    assert (await stanchion.outcome(handle))["status"] == "completed"


@pytest.mark.parametrize(
    "turn",
    [
        {"text": "approve"},
        {"text": 'Sure! {"verdict": "approve", "reason": ""}'},
        {"text": '{"verdict": "approve", "verdict": "reject"}'},
        {"text": '{"verdict": "yes"}'},
        {"text": ""},
        {"error": "refusal"},
        {"error": "key_rejected"},
    ],
    ids=lambda turn: json.dumps(turn)[:40],
)
async def test_whatever_is_not_clearly_a_yes_counts_for_nothing_and_people_decide(
    stanchion: Stanchion, turn: dict[str, Any]
) -> None:
    reviewer = (await stanchion.publish([turn], name=unique("reviewer"))).definition.name
    handle = await asked(stanchion, reviewer)
    assert (await reviewed(stanchion, handle))["verdict"] == "none"
    receipt = await stanchion.decide(handle, "approve", by="lee")
    assert receipt["answer"] == "accepted" and not receipt.get("closes")
    await handle.cancel()


async def test_a_reviewer_that_is_not_registered_or_has_tools_is_not_asked(stanchion: Stanchion) -> None:
    armed = (await stanchion.publish([YES], "send", name=unique("armed"))).definition.name
    for reviewer, why in (("nobody-knows-it", "no agent is called"), (armed, "a reviewer has none")):
        handle = await asked(stanchion, reviewer)
        review = await reviewed(stanchion, handle)
        assert review["verdict"] == "none" and why in review["reason"]
        await handle.cancel()


async def test_a_reviewer_sees_the_goal_the_exact_call_and_where_its_values_came_from(stanchion: Stanchion) -> None:
    name = await stanchion.publish("scripted:tests.workflows.test_reviewer:watching", name=unique("reviewer"))
    goal = f"Send bo@acme.example the report {unique('nr')}."
    handle = await asked(stanchion, name.definition.name, goal)
    await reviewed(stanchion, handle)
    shown = next(text for text in SEEN if goal in text)
    assert '"to": "bo@acme.example"' in shown and '"origin": "user"' in shown and '"tool": "send"' in shown
    await handle.cancel()


async def test_what_a_review_costs_is_spent_by_the_run(stanchion: Stanchion) -> None:
    turn = YES | {"usage": {"input_tokens": 700, "output_tokens": 77}}
    reviewer = (await stanchion.publish([turn], name=unique("reviewer"))).definition.name
    handle = await asked(stanchion, reviewer)
    await stanchion.decide(handle, "approve")
    assert (await stanchion.outcome(handle))["spent"]["tokens"] == 777


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"people": 1, "reviewer": "second-pair"}, "cannot decide alone"),
        ({"people": 2, "reviewer": "itself"}, "cannot review itself"),
    ],
)
async def test_a_definition_with_a_reviewer_that_would_decide_alone_is_refused(
    stanchion: Stanchion, rule: dict[str, Any], why: str
) -> None:
    with pytest.raises(DefinitionInvalid, match=why):
        await stanchion.publish([SEND, DONE], "send", name="itself", approvals={"tools": {"send": rule}})
