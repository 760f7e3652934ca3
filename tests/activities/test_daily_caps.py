"""A grant's `per_day` holds for a tenant, an agent and a tool, whoever calls at once, and counts what was performed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from activities.gateway.execution.effects import ClaimLost
from activities.storage.database import SchemaMissing
from tests.harness.door import Call, Door, own_clock
from tests.harness.outcomes import done
from workflows.contracts.calls import CallResult, Observed, Refused

CAP = 5
CALLS = 30
RUNS = 6
WORKERS = 3


@pytest_asyncio.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    """A worker, at noon by the database's clock: no test runs over midnight."""
    await own_clock(database_url)
    made = Door.make(database_url)
    await at(made, "12:00")
    yield made
    await made.close()


async def at(door: Door, time: str) -> None:
    """Set the clock to a time of today; '36:00' is tomorrow's noon."""
    today = "date_trunc('day', pg_catalog.now() AT TIME ZONE 'utc') AT TIME ZONE 'utc'"
    await door.execute(f"UPDATE clock SET ahead = {today} + interval '{time}' - pg_catalog.now()")


async def publish(door: Door, *tools: str, per_day: int = CAP, **more: Any) -> str:
    """An agent that may use each of these tools so often a day."""
    return await door.publish(*tools, grants={tool: [{"per_day": per_day}] for tool in tools}, **more)


async def notes(door: Door, agent: str, calls: int = CALLS, runs: int = RUNS, **request: Any) -> list[Call]:
    """Notes to write, over several runs."""
    return [
        call
        for _ in range(runs)
        for call in await door.plan(await door.open(agent, **request), *[("note", {"text": "x"})] * (calls // runs))
    ]


async def all_at_once(door: Door, calls: list[Call]) -> list[CallResult]:
    """Every call at the same time, held until each was judged, over several workers."""
    missing, judged = [len(calls)], asyncio.Event()

    async def together(where: str) -> None:
        if where == "before-claim":
            missing[0] -= 1
            if not missing[0]:
                judged.set()
            await asyncio.wait_for(judged.wait(), 60)

    doors = [door.another(together) for _ in range(WORKERS)]
    return await asyncio.gather(*(doors[n % WORKERS].call(call) for n, call in enumerate(calls)))


async def used(door: Door) -> int:
    """What was counted, over all days, agents, tenants and tools."""
    return int(
        await door.value(
            "SELECT coalesce(sum(settled + reserved), 0) FROM windows WHERE class LIKE 'tool:%' AND period = 'day'"
        )
    )


def rules(answers: list[CallResult]) -> Counter[str]:
    """How each call ended: observed, or by which rule not."""
    return Counter(answer.rule if isinstance(answer, Refused) else answer.kind for answer in answers)


@pytest.mark.parametrize("cap", [1, CAP, CALLS])
async def test_of_many_calls_at_once_as_many_are_performed_as_the_grant_allows(door: Door, cap: int) -> None:
    calls = await notes(door, await publish(door, "note", per_day=cap))
    answers = await all_at_once(door, calls)
    assert rules(answers) == Counter({"observed": cap, "grant.per-day": CALLS - cap})
    assert (sum(call.happened for call in calls), await used(door)) == (cap, cap)


async def test_without_a_cap_all_are_performed(door: Door) -> None:
    calls = await notes(door, await door.publish("note", grants={"note": [{}]}))
    assert rules(await all_at_once(door, calls)) == {"observed": CALLS}
    assert await used(door) == 0


async def test_a_new_day_has_a_new_count_and_revives_no_call_of_the_day_before(door: Door) -> None:
    agent = await publish(door, "note")
    refused, today = await all_of(door, agent)
    assert today == {"observed": CAP, "grant.per-day": CALLS - CAP}
    await at(door, "23:30")
    assert rules([await door.call(call) for call in await notes(door, agent, 1, 1)]) == {"grant.per-day": 1}
    await at(door, "24:00")
    assert rules([await door.call(call) for call in refused]) == {"grant.per-day": CALLS - CAP}
    assert (await all_of(door, agent))[1] == {"observed": CAP, "grant.per-day": CALLS - CAP}
    assert await used(door) == 2 * CAP


async def all_of(door: Door, agent: str) -> tuple[list[Call], Counter[str]]:
    """As many notes as there are, one after the other: those that were refused, and how all ended."""
    calls = await notes(door, agent)
    answers = [await door.call(call) for call in calls]
    return [call for call, answer in zip(calls, answers, strict=True) if isinstance(answer, Refused)], rules(answers)


@pytest.mark.parametrize("other", ["tenant", "agent", "tool"])
async def test_one_count_is_none_of_another_tenant_agent_or_tool(door: Door, other: str) -> None:
    agent = await publish(door, "note", "take_back")
    await all_of(door, agent)
    if other == "agent":
        agent = await publish(door, "note", "take_back")
    run = await door.open(agent, tenant="globex" if other == "tenant" else "acme")
    tool = "take_back" if other == "tool" else "note"
    calls = await door.plan(run, *[(tool, {"text": "x"})] * (CAP + 1))
    assert rules([await door.call(call) for call in calls]) == {"observed": CAP, "grant.per-day": 1}


async def test_a_new_version_of_an_agent_goes_on_with_the_count_under_its_own_cap(door: Door) -> None:
    agent = await publish(door, "note", name="helper")
    await all_of(door, agent)
    await publish(door, "note", name="helper", per_day=CAP + 2)
    assert (await all_of(door, agent))[1] == {"observed": 2, "grant.per-day": CALLS - 2}


async def test_alternatives_of_a_grant_count_together(door: Door) -> None:
    grants = {"note": [{"text": {"one_of": ["a"]}, "per_day": 2}, {"text": {"one_of": ["b"]}, "per_day": 3}]}
    run = await door.open(await door.publish("note", grants=grants))
    texts = "a a a b b".split()
    answers = [await door.call(call) for call in await door.plan(run, *[("note", {"text": text}) for text in texts])]
    assert [rules([answer]).popitem()[0] for answer in answers] == [
        "observed", "observed", "grant.per-day", "observed", "grant.per-day"
    ]  # fmt: skip


# ── what does not count ──────────────────────────────────────────────────────────────────────────────────────────────

SPOILED = {
    "the policy changes": "INSERT INTO policies (version, scope, text, by) VALUES ('v', 'acme', '', 'x'); "
    "INSERT INTO policy_heads (scope, version, by) VALUES ('acme', 'v', 'x')",
    "the run is tainted": "UPDATE runs SET tainted_by = 'a parent run'",
    "the run closes": "UPDATE runs SET status = 'stopped', closed_at = now()",
}


@pytest.mark.parametrize("spoiled", SPOILED)
async def test_a_claim_that_failed_uses_up_nothing(door: Door, spoiled: str) -> None:
    async def spoils(where: str) -> None:
        if where == "before-claim":
            await door.execute(*SPOILED[spoiled].split("; "))

    call = (await notes(door, await publish(door, "note"), 1, 1))[0]
    with pytest.raises(ClaimLost):
        await door.another(spoils).call(call)
    assert (call.happened, await used(door)) == (0, 0)


async def test_an_approval_that_is_withdrawn_before_the_claim_uses_up_nothing(door: Door) -> None:
    async def withdraws(where: str) -> None:
        if where == "before-claim":
            await door.execute("UPDATE approvals SET state = 'withdrawn'")

    call = await proposed(door)
    with pytest.raises(ClaimLost):
        await door.another(withdraws).call(call)
    assert (call.happened, await used(door)) == (0, 0)


async def test_a_call_that_reached_the_cap_leaves_no_claim(door: Door) -> None:
    agent = await publish(door, "note", per_day=1)
    first, second = await notes(door, agent, 2, 1)
    await door.call(first)
    assert await door.call(second) == Refused(call_id=second.call_id, rule="grant.per-day")
    assert await door.value("SELECT count(*) FROM events WHERE kind = 'call.claimed'") == 1
    assert await door.value("SELECT state FROM effects WHERE call_id = $1", second.call_id) == "refused"


@pytest.mark.parametrize(("mode", "rule"), [("observe", "mode.observe"), ("propose", "needs-approval")])
async def test_a_mode_that_performs_nothing_uses_up_nothing(door: Door, mode: str, rule: str) -> None:
    calls = await notes(door, await publish(door, "note"), mode=mode)
    assert rules([await door.call(call) for call in calls]) == {rule: CALLS}
    assert await used(door) == 0


async def proposed(door: Door) -> Call:
    """A note that someone approved."""
    call = (await notes(door, await publish(door, "note"), 1, 1, mode="propose"))[0]
    await door.approved(call)
    return call


# ── what counts once ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_call_that_was_asked_about_counts_once_when_it_is_performed(door: Door) -> None:
    call = await proposed(door)
    assert await used(door) == 0
    assert all([done(await door.call(call)) for _ in range(3)])
    assert (call.happened, await used(door)) == (1, 1)


async def test_approvals_do_not_lift_the_cap(door: Door) -> None:
    calls = await notes(door, await publish(door, "note"), mode="propose")
    for call in calls:
        await door.approved(call)
    assert rules(await all_at_once(door, calls)) == {"observed": CAP, "grant.per-day": CALLS - CAP}
    assert (sum(call.happened for call in calls), await used(door)) == (CAP, CAP)


async def test_many_attempts_at_one_call_count_once(door: Door) -> None:
    call = (await notes(door, await publish(door, "note"), 1, 1))[0]
    doors = [door.another() for _ in range(WORKERS)]
    answers = await asyncio.gather(*(doors[n % WORKERS].call(call) for n in range(100)), return_exceptions=True)
    assert {type(answer) for answer in answers} <= {Observed, ClaimLost}
    assert done(await door.call(call))
    assert await used(door) == 1


@pytest.mark.parametrize("where", ["after-claim", "after-effect", "after-settle"])
async def test_a_call_whose_worker_died_counts_once_when_it_is_tried_again(door: Door, where: str) -> None:
    async def dies(at_boundary: str) -> None:
        if at_boundary == where:
            raise RuntimeError("killed")

    call = (await notes(door, await publish(door, "note"), 1, 1))[0]
    with pytest.raises(RuntimeError, match="killed"):
        await door.another(dies).call(call)
    assert await used(door) == 1
    assert done(await door.call(call))
    assert await used(door) == 1


async def test_a_cap_that_cannot_be_counted_lets_nothing_through(door: Door) -> None:
    call = (await notes(door, await publish(door, "note"), 1, 1))[0]
    await door.execute("ALTER TABLE windows RENAME TO gone")
    with pytest.raises(SchemaMissing):
        await door.call(call)
    assert (call.happened, await door.value("SELECT count(*) FROM effects")) == (0, 0)
