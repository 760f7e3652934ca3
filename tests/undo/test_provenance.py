"""What an undo is judged by: our own record, as far as it can be trusted; people are asked as about any other call."""

import pytest

from activities.gateway.evaluation import evaluator
from activities.policy.values.provenance import Evidence
from tests.harness.checks import facts
from tests.harness.stanchion import Stanchion
from tests.undo.rolling import begun, ordered, ran, report, rolled_back, standings, turn
from tests.undo.tools import done_by

GRANT = [turn(("grant", {"account": "bo@acme.example"}))]
GOAL = "let bo@acme.example in"
GRANTS = {"grants": {"grant": {}, "revoke": {"account": {"origin": ["user", "trusted"]}}}}


async def test_our_own_values_are_trusted_and_a_granted_undo_needs_nobody(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, GRANT, "grant", "revoke", goal=GOAL, **GRANTS)
    rollback = await ordered(stanchion, handle.id)
    await stanchion.outcome(rollback)
    assert done_by(rollback.id) == ["revoke bo@acme.example"]
    assert [v["rule"] for v in await facts(stanchion, rollback.id, "verdict.given")] == ["tier.T3.granted"]


async def test_without_our_record_the_same_undo_is_denied_as_nobodys_words(
    stanchion: Stanchion, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> Evidence:
        return Evidence(passages=())

    handle = await ran(stanchion, GRANT, "grant", "revoke", goal=GOAL, **GRANTS)
    monkeypatch.setattr(evaluator, "evidence_on_record", nothing)
    found = await rolled_back(stanchion, handle.id)
    assert standings(found) == {"1.0": "left"}
    assert "was refused: grant.origin" in found.items[0].reason


async def test_an_undo_of_tier_3_is_asked_about_and_not_of_who_ordered_it(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, GRANT, "grant", "revoke", goal=GOAL)
    rollback = await ordered(stanchion, handle.id, by="lee")
    open_one = await stanchion.approval(rollback)
    assert (open_one["tool"], open_one["tier"]) == ("revoke", "T3")
    assert (await stanchion.decide(rollback, "approve", by="lee"))["answer"] == "not allowed"
    assert (await stanchion.decide(rollback, "approve", by="kim"))["answer"] == "accepted"
    await stanchion.outcome(rollback)
    assert done_by(rollback.id) == ["revoke bo@acme.example"]


async def test_an_undo_that_was_rejected_is_left_and_another_rollback_may_ask_again(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, GRANT, "grant", "revoke", goal=GOAL)
    first = await ordered(stanchion, handle.id)
    await stanchion.decide(first, "reject", by="kim", reason="bo needs it until Friday")
    await stanchion.outcome(first)
    left = await report(stanchion, handle.id, 0, first.id)
    assert "kim rejected it: bo needs it until Friday" in left.items[0].reason and left.items[0].again
    second = await ordered(stanchion, handle.id, again=left.may_go_on)
    await stanchion.decide(second, "approve", by="kim")
    await stanchion.outcome(second)
    assert (done_by(first.id), done_by(second.id)) == ([], ["revoke bo@acme.example"])


async def test_what_an_approver_put_in_place_is_what_is_taken_back(stanchion: Stanchion) -> None:
    handle = await begun(stanchion, GRANT, "grant", "revoke", goal=GOAL, mode="propose")
    await stanchion.decide(handle, "edit", arguments={"account": "mei@acme.example"})
    await stanchion.outcome(handle)
    rollback = await ordered(stanchion, handle.id)
    await stanchion.decide(rollback, "approve", by="kim")
    await stanchion.outcome(rollback)
    assert done_by(rollback.id) == ["revoke mei@acme.example"]


async def test_a_value_of_an_untrusted_result_is_no_better_for_being_on_record(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, [turn(("upload", {"text": "report"}))], "upload", "remove", "upload_at")
    rollback = await ordered(stanchion, handle.id)
    open_one = await stanchion.approval(rollback)
    [asked] = await facts(stanchion, rollback.id, "verdict.given")
    assert (open_one["tool"], asked["rule"]) == ("remove", "tier.T2.unanchored")
    await stanchion.decide(rollback, "approve", by="kim")
    await stanchion.outcome(rollback)
    assert done_by(rollback.id) == ["remove store/report"]
