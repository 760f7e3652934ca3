"""Graduation: the streaks, the bound, and a grant that fits exactly what was approved."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from activities.agents.definition import AgentDefinition
from activities.policy.grants.grants import Grant, GrantMatch, match_grants, parse_grants, similar_calls_digest
from activities.rehearsal.graduation import (
    ClosedApproval,
    NotProposable,
    RecordedDecision,
    approved_classes,
    definition_changes,
    grant_for,
    refusal_bound,
    with_grants,
)
from activities.tools.registry import find_tool
from activities.tools.spec import ToolSpec

BOX = "tests.harness.toolbox"
SEND, NOTE, PAY, LOOK = (find_tool(BOX, name) for name in ("send", "note", "pay", "look"))
numbers = itertools.count()
LEE = RecordedDecision("lee@acme.example", "approve", "signature", 30.0)
MO = RecordedDecision("mo@acme.example", "approve", "signature", 30.0)


def asked(state: str = "approve", *decided: RecordedDecision, like: str = "a", **more: Any) -> ClosedApproval:
    """A closed approval; approved by Lee unless told otherwise."""
    number = next(numbers)
    known: dict[str, Any] = {
        "approval_id": f"ap-{number}", "run_id": "agent/x/1", "call_id": f"{number}.0", "tool": "send", "tier": "T3",
        "edited": False, "needed": 1, "closed_at": f"2026-01-01T00:00:{number % 60:02}Z",
    }  # fmt: skip
    return ClosedApproval(state=state, like=like, decided=decided or (LEE,), **(known | more))


def length(*approvals: ClosedApproval, unsigned_count: bool = False) -> int:
    """How long the streak of the only class is."""
    (streak,) = approved_classes(approvals, unsigned_count=unsigned_count)
    return len(streak.approved)


# ── streaks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_yes_of_people_in_a_row_counts() -> None:
    assert length(asked(), asked(), asked()) == 3


@pytest.mark.parametrize("state", ["reject", "edit", "respond", "expired", "withdrawn", "superseded"])
def test_whatever_is_no_yes_ends_the_streak(state: str) -> None:
    assert length(asked(), asked(), asked(state), asked()) == 1
    assert length(asked(), asked(state)) == 0


def test_a_yes_to_arguments_that_someone_put_in_place_of_the_models_ends_the_streak() -> None:
    assert length(asked(), asked(), asked(edited=True)) == 0


@pytest.mark.parametrize("proof", ["standing", "agent", "code"])
def test_a_yes_that_no_person_gave_neither_counts_nor_ends_the_streak(proof: str) -> None:
    other = RecordedDecision("x", "approve", proof, 0.1)
    assert length(asked(), asked("approve", other), asked()) == 2
    assert length(asked(), asked("approve", LEE, other, needed=2)) == 1


def test_unsigned_yeses_count_only_where_they_are_taken() -> None:
    unsigned = RecordedDecision("lee", "approve", "unsigned", 9.0)
    assert length(asked("approve", unsigned), asked()) == 1
    assert length(asked("approve", unsigned), asked(), unsigned_count=True) == 2


def test_where_two_people_are_needed_two_have_to_have_said_yes() -> None:
    assert length(asked("approve", LEE, MO, needed=2)) == 1
    assert (
        length(asked("approve", LEE, RecordedDecision("LEE@acme.example", "approve", "signature", 1.0), needed=2)) == 0
    )


def test_classes_are_never_mixed() -> None:
    found = approved_classes([asked(like=name) for name in "ababab"], unsigned_count=False)
    assert {streak.like: len(streak.approved) for streak in found} == {"a": 3, "b": 3}
    mixed = approved_classes([asked(), asked(tool="note")], unsigned_count=False)
    assert mixed[0].never == "the class mixes several tools"


@pytest.mark.parametrize("tier", ["T4", None])
def test_a_class_with_one_call_of_tier_4_or_of_an_unknown_tier_is_never_proposed(tier: str | None) -> None:
    (streak,) = approved_classes([asked(), asked(tier=tier), asked()], unsigned_count=False)
    assert streak.never


def test_the_figures_name_who_approved_and_how_fast() -> None:
    fast = RecordedDecision("mo@acme.example", "approve", "signature", 1.0)
    (streak,) = approved_classes([asked("reject"), asked(), asked("approve", fast)], unsigned_count=False)
    summary = streak.summary()
    assert (summary["in_a_row"], summary["approved_ever"], summary["not_approved_ever"]) == (2, 2, 1)
    assert summary["approvers"] == ["lee@acme.example", "mo@acme.example"]
    assert (summary["faster_than_3s"], summary["unsigned"]) == (1, 0)


@given(st.lists(st.sampled_from(["approve", "reject", "edit", "expired"]), max_size=30))
def test_the_streak_is_what_came_after_the_last_that_was_no_yes(states: list[str]) -> None:
    expected = len(list(itertools.takewhile(lambda state: state == "approve", reversed(states))))
    found = approved_classes([asked(state) for state in states], unsigned_count=False)
    assert sum(len(streak.approved) for streak in found) == expected


# ── the bound ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_bound_without_refusals_is_the_rule_of_three() -> None:
    assert refusal_bound(20) == pytest.approx(0.1391, abs=1e-4)
    assert refusal_bound(300) == pytest.approx(3 / 300, rel=0.01)
    assert refusal_bound(0) == 1.0


@pytest.mark.parametrize(("asked", "refused", "bound"), [(10, 1, 0.3942), (20, 2, 0.2826), (100, 5, 0.1023)])
def test_the_bound_with_refusals_is_the_one_of_the_tables(asked: int, refused: int, bound: float) -> None:
    assert refusal_bound(asked, refused) == pytest.approx(bound, abs=1e-3)


@given(st.integers(1, 200), st.integers(0, 20))
def test_more_refusals_never_lower_the_bound_and_more_approvals_never_raise_it(asked: int, refused: int) -> None:
    assert refusal_bound(asked + refused, refused) <= refusal_bound(asked + refused, refused + 1) + 1e-9
    assert refusal_bound(asked + refused + 1, refused) <= refusal_bound(asked + refused, refused) + 1e-9


# ── the grant ────────────────────────────────────────────────────────────────────────────────────────────────────────


def fits(grant: Grant, arguments: dict[str, Any], spec: ToolSpec = SEND) -> bool:
    """Whether the grant covers a call with these arguments."""
    return isinstance(match_grants([grant], arguments, spec.facts.sensitive, {}), GrantMatch)


def test_the_grant_pins_what_is_sensitive_and_what_never_varied() -> None:
    calls = [{"to": "bo@acme.example", "text": "hello"}] * 3
    grant = grant_for(calls, SEND, None)
    assert fits(grant, calls[0])
    assert not fits(grant, calls[0] | {"to": "eve@evil.example"})
    assert not fits(grant, calls[0] | {"text": "something else"})


def test_a_text_that_varied_stays_free_so_that_a_tainted_run_is_asked_about_it() -> None:
    grant = grant_for([{"to": "bo@acme.example", "text": text} for text in ("a", "b")], SEND, None)
    assert set(grant.arguments) == {"to"}


def test_what_was_never_given_must_not_be_given() -> None:
    grant = grant_for([{"to": "bo@acme.example"}] * 2, SEND, None)
    assert fits(grant, {"to": "bo@acme.example"})
    assert not fits(grant, {"to": "bo@acme.example", "text": "and more"})
    assert not fits(grant, {"to": "bo@acme.example", "text": ["and more"]})


def test_numbers_stay_within_what_was_approved() -> None:
    grant = grant_for([{"what": 3}, {"what": 9}], LOOK, None)
    assert (grant.arguments["what"].min, grant.arguments["what"].max) == (3, 9)


def test_what_an_existing_grant_says_is_kept() -> None:
    domain = parse_grants({"send": {"to": {"domains": ["acme.example"]}, "per_day": 5}})["send"][0]
    grant = grant_for([{"to": f"{name}@acme.example", "text": "hello"} for name in ("bo", "mo")], SEND, domain)
    assert fits(grant, {"to": "al@acme.example", "text": "hello"})
    assert not fits(grant, {"to": "al@evil.example", "text": "hello"})
    assert not fits(grant, {"to": "al@acme.example", "text": "other"})
    assert grant.per_day == 5


def test_calls_of_several_classes_make_no_grant() -> None:
    with pytest.raises(NotProposable, match="not of one class"):
        grant_for([{"to": "bo@acme.example"}, {"to": "mo@acme.example"}], SEND, None)


def test_a_secret_is_never_written_into_a_definition() -> None:
    secret = replace(SEND, facts=replace(SEND.facts, sensitive={"to": "secret"}))
    with pytest.raises(NotProposable, match="secret"):
        grant_for([{"to": "hunter2"}] * 2, secret, None)


@pytest.mark.parametrize("value", [{"a": 1}, ["bo@acme.example", "mo@acme.example"], 1.5])
def test_a_sensitive_value_that_cannot_be_pinned_is_never_widened_instead(value: Any) -> None:
    with pytest.raises(NotProposable, match="cannot pin"):
        grant_for([{"to": value}] * 2, SEND, None)


recipients = st.sampled_from(["bo@acme.example", "eve@evil.example", "bo@acme.example, eve@evil.example", None])
texts = st.sampled_from(["hello", "other", "", None])
arguments = st.fixed_dictionaries({}, optional={"to": recipients, "text": texts})


@given(st.lists(texts, min_size=1, max_size=4), arguments)
def test_what_the_grant_covers_is_of_the_very_class_that_was_approved(said: list[Any], call: dict[str, Any]) -> None:
    approved = [{"to": "bo@acme.example"} | ({} if text is None else {"text": text}) for text in said]
    assume(len({tuple(each) for each in approved}) == 1)  # they are of one class
    grant = grant_for(approved, SEND, None)
    if fits(grant, {key: value for key, value in call.items() if value is not None}):
        likes = {
            similar_calls_digest("send", "h", -1, each, SEND.facts.sensitive, frozenset())
            for each in (approved[0], call)
        }
        assert len(likes) == 1 or call.get("text") is None  # a free text may also be left out


# ── the definition ───────────────────────────────────────────────────────────────────────────────────────────────────


def definition(*tools: str, **more: Any) -> AgentDefinition:
    """An agent with these tools."""
    fields = {"name": "a", "instructions": "x", "model": "scripted:x", "tools": [{"module": BOX, "use": list(tools)}]}
    return AgentDefinition.model_validate(fields | more)


def specs(*tools: str) -> dict[str, ToolSpec]:
    """Their specs."""
    return {name: find_tool(BOX, name) for name in tools}


def test_an_agent_without_grants_keeps_its_other_tools_as_they_were() -> None:
    tools = ("send", "note", "pay", "look", "fetch")
    grant = grant_for([{"to": "bo@acme.example"}], SEND, None)
    new = definition_changes(with_grants(definition(*tools), {"send": [grant]}, specs(*tools)))
    assert set(new["grants"]) == {"send", "note", "pay"}  # plain reads need none
    assert new["grants"]["note"] == new["grants"]["pay"] == {}
    assert new["approvals"] == {"tools": {"pay": {"always": True}}}  # it was always asked about, and is


def test_an_agents_own_grants_stay_behind_the_new_one() -> None:
    own = {"send": {"to": {"domains": ["acme.example"]}}}
    grant = grant_for([{"to": "bo@acme.example", "text": "hello"}], SEND, None)
    new = with_grants(definition("send", "note", grants=own), {"send": [grant]}, specs("send", "note"))
    assert new.grants and set(new.grants) == {"send"}
    assert new.grants["send"] == (grant, *parse_grants(own)["send"])
    assert new.approvals == definition("send").approvals
