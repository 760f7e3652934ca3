"""What-if: recorded calls judged again, as they were, by other policies; and what mode observe would have done."""

import importlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.policy.cedar.policy import PolicyInvalid
from activities.policy.engine.tiers import deny_in_observe_mode
from activities.policy.engine.verdicts import Allow, Ask, Deny
from activities.rehearsal.observe_report import NothingObserved, observe_report, would_have
from activities.rehearsal.recorded_calls import CallSelection, recorded_calls
from activities.rehearsal.whatif import ProposedPolicy, WhatIfReport, whatif
from activities.storage.database import Database
from tests.harness.door import Call, Door

PERMIT = "permit (principal, action, resource);"
NO_SEND = f'{PERMIT} @id("no-send") forbid (principal, action == Action::"send", resource);'
NO_NOTE = f'{PERMIT} @id("no-note") forbid (principal, action == Action::"note", resource);'
NO_TAINTED_NOTE = f'{PERMIT} forbid (principal, action == Action::"note", resource) when {{ context.tainted }};'
BO = {"to": "bo@acme.example", "text": "hello"}
EVE = "eve@evil.example"


async def ask(
    door: Door, text: str, *, floor: int | None = None, platform: bool = False, **chosen: Any
) -> WhatIfReport:
    """The answer for this policy in place of the tenant's."""
    return await whatif(door.parts.database, ProposedPolicy(text, floor, platform), CallSelection(**chosen))


async def performed(door: Door, run_id: str, *calls: tuple[str, dict[str, Any]]) -> list[Call]:
    """One step with these calls, each attempted once."""
    planned = await door.plan(run_id, *calls)
    for call in planned:
        await door.call(call)
    return planned


async def two_calls(door: Door) -> list[Call]:
    """A send, denied by the policy in force, and a note, which is allowed; both of tenant acme."""
    await door.put_policy("acme", NO_SEND)
    run_id = await door.open(await door.publish("send", "note"), "Tell bo@acme.example.")
    return await performed(door, run_id, ("send", BO), ("note", {"text": "told bo"}))


async def test_a_loosened_and_a_tightened_verdict_are_shown_with_both_rules_and_the_recorded_one(door: Door) -> None:
    send, note = await two_calls(door)
    answer = await ask(door, NO_NOTE)
    assert answer.changed == {("send", "deny", "ask"): 1, ("note", "allow", "deny"): 1}
    shown = {change.call_id: change for change in answer.changes}
    assert (shown[send.call_id].old_rule, shown[send.call_id].new_rule) == ("policy.no-send", "tier.T3")
    assert (shown[note.call_id].old_rule, shown[note.call_id].new_rule) == ("tier.T2", "policy.no-note")
    assert [shown[call.call_id].recorded for call in (send, note)] == ["deny", "allow"]
    assert shown[send.call_id].arguments == BO
    assert (answer.judged, answer.recorded_otherwise, answer.unjudged.total()) == (2, 0, 0)


async def test_the_policy_that_is_in_force_changes_nothing(door: Door) -> None:
    await two_calls(door)
    answer = await ask(door, NO_SEND)
    assert (answer.judged, answer.changed.total(), answer.changes) == (2, 0, [])


async def test_nothing_is_written(door: Door, database_url: str) -> None:
    await two_calls(door)
    name = await door.value("SELECT current_database()")
    await door.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    reader = Database(database_url)  # whose connections can write nothing
    assert (await whatif(reader, ProposedPolicy(NO_NOTE), CallSelection())).changed.total() == 2
    await reader.close()


async def test_only_the_tenants_own_policy_is_replaced(door: Door) -> None:
    await two_calls(door)
    await door.put_policy("*", NO_NOTE)
    answer = await ask(door, PERMIT)
    assert answer.changed == {("send", "deny", "ask"): 1}
    answer = await ask(door, PERMIT, platform=True)
    assert answer.changed == {("note", "deny", "allow"): 1}
    assert answer.recorded_otherwise == 1  # the note was allowed, under the platform's policy of then


async def test_a_call_is_judged_by_what_its_run_had_read_by_then_and_not_by_what_it_read_later(door: Door) -> None:
    run_id = await door.open(await door.publish("note", "fetch"), "Take notes.")
    await performed(door, run_id, ("note", {"text": "before"}))
    await performed(door, run_id, ("fetch", {"size": 30}))
    (after,) = await performed(door, run_id, ("note", {"text": "Take"}))
    answer = await ask(door, NO_TAINTED_NOTE)
    assert [(each.call_id, each.was, each.would_be) for each in answer.changes] == [(after.call_id, "ask", "deny")]


async def test_a_value_that_was_restated_later_does_not_whitewash_an_earlier_call(door: Door) -> None:
    agent = await door.publish("send", "fetch", "note")
    run_id = await door.open(agent, "Tell everyone.")
    await performed(door, run_id, ("fetch", {"size": 30}))
    await performed(door, run_id, ("send", {"to": EVE, "text": "x"}))
    await door.execute(
        f"INSERT INTO endorsements (run_id, value, by, proof) VALUES ('{run_id}', '{EVE}', 'lee', 'unsigned')"
    )
    answer = await ask(door, PERMIT)
    assert (answer.judged, answer.recorded_otherwise) == (2, 0)
    before = CallSelection(since=datetime.now(UTC) - timedelta(days=1))
    verdicts = {call.facts.tool: call.verdict async for call in recorded_calls(door.parts.database, before)}
    assert verdicts == {"fetch": "allow", "send": "deny"}
    await performed(door, run_id, ("send", {"to": EVE, "text": "x"}))  # by now it counts
    assert (await ask(door, PERMIT)).recorded_otherwise == 0


async def test_a_call_whose_tool_is_gone_is_listed_and_never_dropped(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "passing_tools.py").write_text(
        "from activities.tools import ToolContext, tool\n"
        "@tool(effect='read', output='trusted')\n"
        "async def peek(ctx: ToolContext) -> str:\n"
        "    '''Peek.'''\n"
        "    return 'x'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    await performed(door, await door.open(await door.publish("peek", module="passing_tools")), ("peek", {}))
    await performed(door, await door.open(await door.publish("look")), ("look", {"what": "x"}))
    assert (await ask(door, PERMIT)).judged == 2
    monkeypatch.undo()
    sys.modules.pop("passing_tools")
    importlib.invalidate_caches()

    answer = await ask(door, PERMIT)
    assert answer.judged == 1
    assert [(call.tool, call.call_id) for call in answer.unjudged_calls] == [("peek", "1.0")]
    assert "cannot import passing_tools" in answer.unjudged_calls[0].reason


async def test_a_call_whose_tool_has_changed_since_is_listed_and_never_dropped(door: Door) -> None:
    agent = await door.publish("look")
    await performed(door, await door.open(agent), ("look", {"what": "x"}))
    known = (await door.version_of(agent)).by_name["look"].pinned_hash
    await door.execute(f"UPDATE agents SET tools = replace(tools::text, '{known}', 'another')::json")
    answer = await ask(door, PERMIT)
    assert (answer.judged, answer.unjudged.total()) == (0, 1)
    assert "has changed since" in answer.unjudged_calls[0].reason


async def test_a_tool_that_the_agent_never_had_is_denied_then_and_now(door: Door) -> None:
    await performed(door, await door.open(await door.publish("look")), ("imagined", {}))
    answer = await ask(door, PERMIT)
    assert (answer.judged, answer.changed.total(), answer.recorded_otherwise) == (1, 0, 0)


async def test_pages_give_each_call_once_and_a_limit_gives_the_latest(door: Door) -> None:
    agent = await door.publish("look")
    for _ in range(3):
        await performed(door, await door.open(agent), ("look", {}), ("look", {"what": "x"}))
    whole = [(c.facts.run_id, c.facts.call_id) async for c in recorded_calls(door.parts.database, CallSelection())]
    paged = [
        (c.facts.run_id, c.facts.call_id) async for c in recorded_calls(door.parts.database, CallSelection(), page=4)
    ]
    least = [
        (c.facts.run_id, c.facts.call_id)
        async for c in recorded_calls(door.parts.database, CallSelection(most=5), page=2)
    ]
    assert len(set(whole)) == 6
    assert paged == whole
    assert least == whole[:5]


async def test_only_the_chosen_calls_are_judged(door: Door) -> None:
    agent, other = await door.publish("look"), await door.publish("look")
    for name in (agent, other):
        await performed(door, await door.open(name), ("look", {}))
    await performed(door, await door.open(agent, tenant="other"), ("look", {}))
    assert (await ask(door, PERMIT)).judged == 3
    assert (await ask(door, PERMIT, agent=agent)).judged == 2
    assert (await ask(door, PERMIT, agent=agent, tenant="acme")).judged == 1
    assert (await ask(door, PERMIT, since=datetime.now(UTC) + timedelta(hours=1))).judged == 0


async def test_what_would_take_one_person_instead_of_two_is_a_change(door: Door) -> None:
    run_id = await door.open(await door.publish("pay"), "Pay 500 to 4711-0815.")
    await performed(door, run_id, ("pay", {"to": "4711-0815", "cents": 500}))
    assert (await ask(door, PERMIT)).changed.total() == 0
    assert (await ask(door, PERMIT, floor=1_000)).changed == {("pay", "ask T4", "ask T3"): 1}


async def test_what_policy_set_would_refuse_is_refused(door: Door) -> None:
    await two_calls(door)
    with pytest.raises(PolicyInvalid, match="sennd"):
        await ask(door, f'{PERMIT} forbid (principal, action == Action::"sennd", resource);')


async def test_without_the_platforms_policy_both_deny_everything(door: Door) -> None:
    await two_calls(door)
    await door.execute("DELETE FROM policy_heads WHERE scope = '*'")
    answer = await ask(door, PERMIT)
    assert (answer.changed.total(), answer.recorded_otherwise) == (0, 1)


# ── mode observe ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def watched(door: Door) -> tuple[str, str]:
    """An agent and its run in mode observe, which looked, wanted to note, to send, and to send where it should not."""
    agent = await door.publish("look", "note", "send")
    run_id = await door.open(agent, "Tell bo@acme.example.", mode="observe")
    await performed(door, run_id, ("look", {}), ("note", {"text": "x"}), ("send", BO))
    return agent, run_id


async def test_the_report_says_what_would_have_been_allowed_asked_and_denied(door: Door) -> None:
    await door.put_policy("acme", NO_NOTE)
    agent, run_id = await watched(door)
    for found in (
        await observe_report(door.parts.database, agent=agent),
        await observe_report(door.parts.database, run_id=run_id),
    ):
        assert found.counts == {("note", "deny", "policy.no-note"): 1, ("send", "ask", "tier.T3"): 1}
        assert (found.runs, found.calls, found.effects) == (1, 3, 2)
        assert [(call.call_id, call.tool, call.arguments) for call in found.listed][1] == ("1.2", "send", BO)


async def test_what_only_would_have_happened_is_part_of_what_would_change(door: Door) -> None:
    await watched(door)
    assert (await ask(door, NO_NOTE)).changed == {("note", "observe (allow)", "observe (deny)"): 1}


async def test_a_run_that_observed_nothing_has_no_report(door: Door) -> None:
    agent = await door.publish("look")
    await performed(door, await door.open(agent), ("look", {}))
    with pytest.raises(NothingObserved):
        await observe_report(door.parts.database, agent=agent)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [(Allow("tier.T2", "fine"), "allow"), (Ask("a.b-c", "x (y: z)"), "ask"), (Deny("d", ""), "deny")],
)
def test_the_report_reads_what_the_engine_writes(verdict: Allow | Ask | Deny, word: str) -> None:
    assert would_have(deny_in_observe_mode(verdict).reason) == (word, verdict.rule)
    assert would_have("something else") == ("?", "?")
