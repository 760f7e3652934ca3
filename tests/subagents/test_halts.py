"""A halt of a run or an agent stands above all that it delegated."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.halts.halts import HaltOrder, Halts
from activities.halts.in_flight import InFlightCall
from tests.harness.door import Door
from tests.harness.outcomes import done
from tests.harness.stanchion import eventually
from tests.subagents.handing import Crash, closed, opened, spawned, started
from workflows.contracts.calls import CallResult, Halted

BLIND = "CREATE OR REPLACE FUNCTION halt_is_above(of_run text, scope text, target text) RETURNS boolean LANGUAGE sql"


async def halted_above(door: Door, scope: Any, helper: str, boss: str) -> CallResult:
    """What a call two levels below a halted run comes to."""
    middle = await door.publish("look", delegates=[helper])
    agent = await door.publish("look", delegates=[middle])
    call, spawn = await started(door, agent, middle)
    [below] = await door.plan(spawn.run_id, ("delegate", {"agent": helper, "task": "Look."}))
    lowest = await spawned(door, below)
    await opened(door, lowest)
    [look] = await door.plan(lowest.run_id, ("look", {}))
    target = call.run_id if scope == "run" else agent
    halt = await Halts(door.parts.database).order(HaltOrder(scope=scope, target=target, by="lee"))

    async def seen() -> bool:
        return halt.notice in door.parts.watch.active

    await eventually(seen, "the watch knows of the halt")
    return await door.call(look)


@pytest.mark.parametrize("scope", ["run", "agent"])
async def test_nothing_starts_below_a_run_that_is_halted(door: Door, helper: str, boss: str, scope: str) -> None:
    assert isinstance(await halted_above(door, scope, helper, boss), Halted)


@pytest.mark.parametrize("scope", ["run", "agent"])
@pytest.mark.parametrize("blind", [{"claim"}, {"watch"}, {"claim", "watch"}])
async def test_it_would_only_if_claim_and_watch_were_both_blind_to_the_line(
    door: Door, helper: str, boss: str, scope: str, blind: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "claim" in blind:
        await door.execute(f"{BLIND} AS 'SELECT false'")
    if "watch" in blind:
        monkeypatch.setattr(InFlightCall, "covered_by", lambda self, halt: False)
    answer = await halted_above(door, scope, helper, boss)
    assert done(answer) == (len(blind) == 2)  # cut short after its claim, a read is told as not done


async def test_a_halt_lists_what_is_in_flight_below(door: Door, boss: str, helper: str) -> None:
    call, spawn = await started(door, boss, helper)

    async def hang(at: str) -> None:
        if at == "after-claim":
            raise Crash

    [note] = await door.plan(spawn.run_id, ("note", {"text": "n"}))
    with pytest.raises(Crash):
        await door.another(hang).call(note)
    halt = await Halts(door.parts.database).order(HaltOrder(scope="run", target=call.run_id, by="lee"))
    assert [(effect["run_id"], effect["call_id"]) for effect in halt.in_flight] == [(spawn.run_id, "1.0")]
    await closed(door, call.run_id, "stopped", "halted")
    await Halts(door.parts.database).retire()
    assert len(await Halts(door.parts.database).active()) == 1  # it stands as long as anything below is open
    await closed(door, spawn.run_id, "stopped", "halted")
    await Halts(door.parts.database).retire()
    assert await Halts(door.parts.database).active() == []


async def test_what_a_sub_agents_model_uses_counts_for_the_day_of_the_agent_above(door: Door) -> None:
    helper = await door.publish("look")
    boss = await door.publish("look", delegates=[helper], caps=[{"unit": "tokens", "per": "day", "most": 100_000}])
    _, spawn = await started(door, boss, helper)
    await door.plan(spawn.run_id, ("look", {}))
    counted = await door.rows(
        "SELECT w.key FROM holds h JOIN windows w ON w.window_id = ANY (h.window_ids)"
        " WHERE h.hold_id = $1 AND w.scope = 'agent' AND w.unit = 'tokens'",
        f"{spawn.run_id}/step:1",
    )
    assert [row["key"] for row in counted] == [boss]


async def test_a_sub_agents_model_is_not_asked_once_the_day_of_the_agent_above_is_used_up(door: Door) -> None:
    helper = await door.publish("look")
    boss = await door.publish("look", delegates=[helper], caps=[{"unit": "tokens", "per": "day", "most": 100_000}])
    _, spawn = await started(door, boss, helper)
    await door.execute("UPDATE windows SET settled = cap WHERE scope = 'agent' AND unit = 'tokens'")
    with pytest.raises(ApplicationError, match="tokens a day are left to this agent"):
        await door.plan(spawn.run_id, ("look", {}))
