"""A worker judges a call that it planned on the facts of then; the claim refuses it once any of them has changed.

Each change is made between the plan and the claim. Beside it stands what of the claim finds it: without that, the claim
goes through, so nothing else would have found it.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from activities.gateway.execution.effects import ClaimLost, Effects
from activities.gateway.facts import SQL, CallFacts, known_facts
from activities.model.reservations import SQL as MODEL
from activities.policy.engine.verdicts import Allow
from activities.storage.migrate import FOLDER
from tests.harness.door import Call, Door
from workflows.contracts.calls import CallRequest, Halted, NeedsApproval, Observed, Refusal, Refused

VIEW = next(FOLDER.glob("*_run_facts.sql")).read_text(encoding="utf-8")
NOTE = ("note", {"text": "good bye"})
DENYING = 'permit (principal, action, resource); @id("no") forbid (principal, action, resource);'


@dataclass(frozen=True)
class Change:
    """What is changed; what finds it (facts of the view, or a pattern in the claim); how the loaded call then ends."""

    statements: tuple[str, ...]
    facts: tuple[str, ...] = ()
    condition: tuple[str, str] | None = None
    ends: str = "observed"


def fact(statement: str, *facts: str, ends: str = "observed") -> Change:
    """A change of facts of the run."""
    return Change((statement,), facts, None, ends)


def halt(scope: str, target: str, ends: str = "halted") -> Change:
    """A halt at a scope."""
    insert = (
        f"INSERT INTO halts (halt_id, scope, target, by, proof) VALUES ('h', '{scope}', {target}, 'ops', 'unsigned')"
    )
    return Change((insert,), (), (r"NOT halted_at_claim\([^)]*\)", "true"), ends)


def halts(scope: str, column: str) -> Change:
    """A halt of each that some run has in this column."""
    insert = (
        "INSERT INTO halts (halt_id, scope, target, by, proof) "
        f"SELECT DISTINCT {column}, '{scope}', {column}, 'ops', 'unsigned' FROM runs"
    )
    return Change((insert,), (), (r"NOT halted_at_claim\([^)]*\)", "true"), "halted")


def taken(state: str, ends: str) -> Change:
    """Another attempt was first."""
    insert = (
        "INSERT INTO effects (run_id, call_id, tool, contract, effect, fence, state, digest, worker) "
        f"SELECT run_id, call_id, tool, 'idempotent', 'write', 1, '{state}', digest, 'another' FROM calls"
    )
    condition = (r"WHERE effects\.fence = \$\d+::int AND effects\.state IN \('claimed', 'unknown'\)", "")
    return Change((insert,), (), condition, ends)


ASKED = """
INSERT INTO approvals (approval_id, run_id, call_id, about, tool, arguments, digest, rule, reason, expires_at)
SELECT 'ap-' || run_id, run_id, call_id, 'call', tool, arguments, digest, 'r', 'r', now() + interval '1 h' FROM calls"""
ABOVE = "UPDATE runs SET parent_run_id = run_id, lineage = ARRAY[run_id], agents_above = ARRAY[agent]"

CHANGES: dict[str, Change] = {
    "the run is halted": halts("run", "run_id"),
    "its agent is halted": halts("agent", "agent"),
    "its tool is halted": halt("tool", "'note'", "refused"),
    "its tenant is halted": halts("tenant", "tenant"),
    "everything is halted": halt("fleet", "''"),
    "the run is closed": Change(
        ("UPDATE runs SET status = 'stopped', closed_at = now()",), (), (r"r\.status = 'open'", "true"), "lost"
    ),
    "the agent": fact("UPDATE runs SET agent = 'another'", "r.agent"),
    "the agent's version": fact(
        "UPDATE runs SET agent_version = (SELECT version FROM agents WHERE name = 'without')",
        "r.agent_version",
        ends="refused",
    ),
    "the tenant": fact("UPDATE runs SET tenant = 'another'", "r.tenant"),
    "the requester": fact("UPDATE runs SET requester = 'eve'", "r.requester"),
    "the mode": fact("UPDATE runs SET mode = 'observe'", "r.mode", ends="refused"),
    "the frozen policy": fact("UPDATE runs SET policy_version = 'x'", "r.policy_version"),
    "the run is tainted": fact("UPDATE runs SET tainted_by = 'a parent run'", "r.tainted_by", ends="asked"),
    "the run has read private data": fact("UPDATE runs SET private_by = 'a sub-agent'", "r.private_by"),
    "the runs above it": fact(ABOVE, "r.lineage", "r.agents_above", "f.versions_above"),
    "a policy is set": fact(
        "INSERT INTO policy_heads SELECT 'acme', version, 'ops' FROM policies WHERE scope = 'acme'",
        "f.heads",
        ends="refused",
    ),
    "a policy is taken away": fact("DELETE FROM policy_heads", "f.heads", ends="refused"),
    "a value is endorsed": fact(
        "INSERT INTO endorsements (run_id, value, by, proof) SELECT run_id, 'x', 'lee', 'unsigned' FROM runs",
        "f.endorsed",
    ),
    "budget is granted": fact("UPDATE runs SET budget = (budget::jsonb || '{\"tool_calls\": 99}')::json", "f.budget"),
    "a cap is set": fact(
        "INSERT INTO caps (tenant, scope, unit, period, cap, by) VALUES ('acme', 'tenant', 'calls', 'day', 0, 'ops')",
        "f.caps",
        ends="refused",
    ),
    "an approval is opened": Change(
        (ASKED,), (), (r"\$\d+::text IS NOT DISTINCT FROM \(\s*SELECT p\.approval_id.*?LIMIT 1\)", "true"), "asked"
    ),
    "another attempt has claimed it": taken("claimed", "observed"),
    "another attempt has refused it": taken("refused", "lost"),
    "the call is not planned": Change(
        ("UPDATE calls SET digest = 'x'",), (), (r"c\.digest = (\$\d+)::text", r"\1::text IS NOT NULL"), "observed"
    ),
}  # fmt: skip


def without(*facts: str) -> str:
    """The view whose digest leaves these facts out."""
    head, body = VIEW[VIEW.index("CREATE VIEW") :].replace("CREATE VIEW", "CREATE OR REPLACE VIEW").split("ROW(", 1)
    row, tail = body.split(")::text", 1)
    for each in facts:
        row, count = re.subn(rf"(\n +){re.escape(each)}(?=[,\n])", r"\1NULL::text", row)
        assert count == 1, each
    return f"{head}ROW({row})::text{tail}"


async def planned(door: Door) -> Call:
    """A call that this worker has planned, and that is allowed."""
    agent = await door.publish("note", "take_back")
    return (await door.plan(await door.open(agent), NOTE))[0]


def facts_of(door: Door, call: Call) -> CallFacts:
    """What this worker remembers of it."""
    facts = known_facts(door.parts.gateway._steps, call.run_id, call.call_id)
    assert facts
    return facts


async def claim(door: Door, facts: CallFacts) -> None:
    """The claim alone. Raises ClaimLost."""
    call = await door.parts.gateway._evaluator.candidate(facts)
    assert call.spec
    await Effects(door.parts.database).claim(facts, call.spec, call.given(Allow("test", "allowed")))


@asynccontextmanager
async def unguarded(door: Door, change: Change) -> AsyncIterator[None]:
    """The claim without what finds this change."""
    query = SQL["claim"]
    kept = query.sql
    if change.condition:
        query.sql, count = re.subn(*change.condition, kept, flags=re.DOTALL)
        assert count == 1
    await door.execute(without(*change.facts))
    try:
        yield
    finally:
        query.sql = kept
        await door.execute(without())


async def prepare(door: Door) -> None:
    """What some of the changes refer to."""
    await door.put_policy("acme", DENYING)
    await door.execute("DELETE FROM policy_heads WHERE scope = 'acme'")
    await door.publish("take_back", name="without")


def test_every_fact_of_the_view_is_in_its_digest_and_in_this_table() -> None:
    row = VIEW.split("ROW(", 1)[1].split(")::text", 1)[0]
    facts = {each.strip(" ,\n") for each in row.split(",")}
    assert facts == {each for change in CHANGES.values() for each in change.facts}
    columns = VIEW.split("encode(", 1)[0].split("SELECT", 1)[1]
    named = {each.split(" AS ")[0].strip() for each in columns.split(",")} - {"", "r.run_id", "r.status"}
    assert named == facts


@pytest.mark.parametrize("what", CHANGES)
async def test_a_claim_on_facts_that_have_changed_is_refused_by_this_condition(door: Door, what: str) -> None:
    change = CHANGES[what]
    await prepare(door)
    guarded = facts_of(door, await planned(door))
    async with unguarded(door, change):
        control = facts_of(door, await planned(door))
        await door.execute(*change.statements)
        await claim(door, control)
    with pytest.raises(ClaimLost):
        await claim(door, guarded)


@pytest.mark.parametrize("what", CHANGES)
async def test_a_call_whose_facts_have_changed_is_loaded_and_decided_anew(door: Door, what: str) -> None:
    change = CHANGES[what]
    await prepare(door)
    call = await planned(door)
    await door.execute(*change.statements)
    before = door.parts.database.statements.copy()
    if change.ends == "lost":
        with pytest.raises(ClaimLost):
            await door.call(call)
        answer: Any = None
    else:
        answer = await door.call(call)
    kinds: dict[str, Any] = {"observed": Observed, "refused": Refused, "asked": NeedsApproval, "halted": Halted}
    assert answer is None or isinstance(answer, kinds[change.ends]), answer
    assert call.happened == (change.ends == "observed")
    assert (door.parts.database.statements - before)["load"] >= 1


async def test_a_call_of_which_nothing_changed_is_claimed_without_another_look(door: Door) -> None:
    call = await planned(door)
    before = door.parts.database.statements.copy()
    assert isinstance(await door.call(call), Observed)
    assert counted(door, before) == {"claim": 1, "settle": 1, **FIRST}
    assert call.happened == 1
    assert isinstance(await door.call(call), Observed)  # and a second attempt finds its result
    assert call.happened == 1


@pytest.mark.parametrize("tool", ["send", "nothing_of_the_kind"])
async def test_no_call_is_asked_about_or_denied_on_remembered_facts(door: Door, tool: str) -> None:
    agent = await door.publish("send")
    call = (await door.plan(await door.open(agent), (tool, {"to": "ann@acme.example"})))[0]
    before = door.parts.database.statements.copy()
    assert isinstance(await door.call(call), NeedsApproval | Refused)
    done = counted(door, before)
    assert done["load"] >= 1
    assert "claim" not in done


async def test_a_call_that_the_loop_refuses_is_refused_though_it_would_be_allowed(door: Door) -> None:
    call = await planned(door)
    request = CallRequest(run_id=call.run_id, call_id=call.call_id, refuse=Refusal(rule="loop.repeats", reason="again"))
    assert isinstance(await door.parts.gateway.call(request), Refused)
    assert call.happened == 0


async def test_a_step_whose_predecessor_was_planned_here_takes_four_statements(door: Door) -> None:
    run = await door.open(await door.publish("note", "take_back"))
    taken: list[dict[str, int]] = []
    for _ in range(3):
        before = door.parts.database.statements.copy()
        for call in await door.plan(run, NOTE):
            assert isinstance(await door.call(call), Observed)
        taken.append(counted(door, before))
    assert taken[0] == {"begin_step": 1, "reserve": 1, "store_response": 1, "claim": 1, "settle": 1, **FIRST}
    assert taken[1] == taken[2] == {"reserve_next": 1, "store_response": 1, "claim": 1, "settle": 1}


async def test_a_worker_that_did_not_plan_the_step_before_takes_three_for_its_plan_and_three_for_its_call(
    door: Door,
) -> None:
    run = await door.open(await door.publish("note", "take_back"))
    await door.call((await door.plan(run, NOTE))[0])
    other = door.another()
    other._seqs |= door._seqs
    await other.parts.agents.version((await door.version_of(run.split("/")[1])).version)
    before = other.parts.database.statements.copy()
    calls = await other.plan(run, NOTE)
    assert counted(other, before) == {"begin_step": 1, "reserve": 1, "store_response": 1}
    assert isinstance(await door.call(calls[0]), Observed)
    assert calls[0].happened == 1


FIRST = {"text": 1}  # the policy in force, which a worker reads once


def counted(door: Door, before: Any) -> dict[str, int]:
    """Statements since then, without those that the watch looks with."""
    return {name: count for name, count in (door.parts.database.statements - before).items() if name != "active"}


# ── planning on remembered facts ─────────────────────────────────────────────────────────────────────────────────────

BEFORE_PLAN: dict[str, tuple[str, str, str]] = {
    "the run is halted": (
        "INSERT INTO halts (halt_id, scope, target, by, proof) "
        "SELECT run_id, 'run', run_id, 'ops', 'unsigned' FROM runs",
        r"halt_notice\([^)]*\) IS NULL", "true"),
    "the run is closed": ("UPDATE runs SET status = 'stopped', closed_at = now()", r"r\.status = 'open'", "true"),
    "a cap is set": (
        "INSERT INTO caps (tenant, scope, unit, period, cap, by) VALUES ('acme', 'tenant', 'tokens', 'day', 0, 'ops')",
        r"r\.run_digest = (\$\d+)::text", r"\1::text IS NOT NULL"),
    "the step has a plan": (
        "INSERT INTO steps SELECT run_id, 2, 99, plan, model, stop_reason, usage, usd_micros FROM steps",
        r"NOT EXISTS \(SELECT FROM steps.*?(\$\d+)::int\)", r"\1::int IS NOT NULL"),
    "its model vendor has failed": (
        "INSERT INTO vendor_outages (scope, vendor, error, reason, needs_person) "
        "VALUES ('anthropic', 'anthropic', 'ModelOverloaded', '', false)",
        r"NOT EXISTS \(SELECT FROM vendor_outages.*?(\$\d+)::text\[\]\)\)", r"\1::text[] IS NOT NULL"),
    "the transcript is longer": (
        "INSERT INTO transcript (run_id, seq, kind, origin, content) "
        "SELECT run_id, max(seq) + 1, 'message', 'user', '[]' FROM transcript GROUP BY run_id",
        r"\(SELECT max\(t\.seq\).*? = (\$\d+)::int - 1", r"\1::int IS NOT NULL"),
}  # fmt: skip


@pytest.mark.parametrize("what", BEFORE_PLAN)
async def test_nothing_is_reserved_for_a_step_on_facts_that_have_changed(
    door: Door, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement, condition, nothing = BEFORE_PLAN[what]
    call = await planned(door)
    assert isinstance(await door.call(call), Observed)
    last = door.parts.models._steps.last(call.run_id)
    assert last
    await door.execute(statement)
    query, seq = MODEL["reserve_next"], door._seqs[call.run_id][1]

    async def reserved(hold: str) -> bool:
        row = await query.row(
            door.parts.database, run_id=call.run_id, step=2, next_seq=seq, run_digest=last.run.run_digest,
            scopes=["anthropic"], hold=f"{call.run_id}/{hold}", wanted=None, seconds=60.0,
        )  # fmt: skip
        return row is not None

    assert not await reserved("step:2")
    assert await door.value("SELECT count(*) FROM holds WHERE hold_id LIKE '%/step:2'") == 0
    looser, count = re.subn(condition, nothing, query.sql, flags=re.DOTALL)
    assert count == 1
    monkeypatch.setattr(query, "sql", looser)
    assert await reserved("control")


async def test_a_step_whose_run_has_changed_is_planned_from_the_beginning(door: Door) -> None:
    call = await planned(door)
    assert isinstance(await door.call(call), Observed)
    await door.execute("INSERT INTO caps (tenant, scope, unit, period, cap, by) "
                       "VALUES ('acme', 'tenant', 'calls', 'day', 1000, 'ops')")  # fmt: skip
    before = door.parts.database.statements.copy()
    assert len(await door.plan(call.run_id, NOTE)) == 1
    assert counted(door, before) == {"reserve_next": 1, "begin_step": 1, "reserve": 1, "store_response": 1}
    assert await door.value("SELECT count(*) FROM steps WHERE run_id = $1", call.run_id) == 2
