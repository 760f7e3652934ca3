"""Taint, suspicion and privacy go down with the task and come back with the answer."""

import json

import pytest

from tests.harness.door import Door
from tests.harness.outcomes import done
from tests.subagents.handing import closed, fetched, opened, spawned, started
from workflows.contracts.calls import NeedsApproval, Observed, Refused


async def tainted_run(door: Door, boss: str) -> str:
    run_id = await door.open(boss, "Write to bo@acme.example.")
    [call] = await door.plan(run_id, ("fetch", {}))
    assert done(await door.call(call))
    return run_id


async def test_a_tainted_run_hands_its_taint_down(door: Door, boss: str, helper: str) -> None:
    run_id = await tainted_run(door, boss)
    [call] = await door.plan(run_id, ("delegate", {"agent": helper, "task": "Write to eve@evil.example."}))
    spawn = await spawned(door, call)
    await opened(door, spawn)
    assert await door.value("SELECT tainted_by FROM runs WHERE run_id = $1", spawn.run_id)
    [send] = await door.plan(spawn.run_id, ("send", {"to": "eve@evil.example"}))
    answer = await door.call(send)
    assert isinstance(answer, Refused) and answer.rule == "provenance.unanchored"


async def test_what_the_task_says_anchors_nothing_and_what_the_user_said_does(door: Door) -> None:
    helper = await door.publish("look", "send", grants={"send": {}})
    agent = await door.publish("look", "send", delegates=[helper], grants={"send": {}})
    for to, expected in (("cy@acme.example", NeedsApproval), ("bo@acme.example", Observed)):
        run_id = await door.open(agent, "Write to bo@acme.example.")
        [call] = await door.plan(run_id, ("delegate", {"agent": helper, "task": f"Write to {to}."}))
        spawn = await spawned(door, call)
        await opened(door, spawn)
        [send] = await door.plan(spawn.run_id, ("send", {"to": to}))
        assert isinstance(await door.call(send), expected), to
    origins = [
        row["origin"] for row in await door.rows("SELECT origin FROM transcript WHERE run_id = $1", spawn.run_id)
    ]
    assert origins[:3] == ["model", "trusted", "user"]


@pytest.mark.parametrize(("reads", "origin"), [("fetch", "untrusted"), ("look", "model")])
async def test_the_answer_is_as_tainted_as_the_one_who_gives_it_and_never_trusted(
    door: Door, boss: str, helper: str, reads: str, origin: str
) -> None:
    call, spawn = await started(door, boss, helper)
    [read] = await door.plan(spawn.run_id, (reads, {}))
    assert done(await door.call(read))
    await closed(door, spawn.run_id)
    assert done(await fetched(door, call))
    sql = "SELECT origin FROM transcript WHERE run_id = $1 AND call_id = $2"
    assert await door.value(sql, call.run_id, call.call_id) == origin


async def test_a_tainted_answer_taints_the_run_that_reads_it(door: Door, boss: str, helper: str) -> None:
    call, spawn = await started(door, boss, helper)
    [read] = await door.plan(spawn.run_id, ("fetch", {}))
    await door.call(read)
    await closed(door, spawn.run_id)
    await fetched(door, call)
    [send] = await door.plan(call.run_id, ("send", {"to": "eve@evil.example"}))
    answer = await door.call(send)
    assert isinstance(answer, Refused) and answer.rule == "provenance.unanchored"


async def test_suspect_and_private_data_are_known_to_both(door: Door, boss: str, helper: str) -> None:
    run_id = await door.open(boss)
    text = json.dumps([{"type": "text", "text": "0 0 0"}])
    await door.execute(
        f"UPDATE runs SET private_by = 'a test' WHERE run_id = '{run_id}'",
        "INSERT INTO transcript (run_id, seq, kind, origin, content, suspect) "
        f"VALUES ('{run_id}', 1, 'message', 'trusted', '{text}', 'it is all zeros')",
    )
    door._seqs[run_id] = (0, 2)
    [call] = await door.plan(run_id, ("delegate", {"agent": helper, "task": "Note it."}))
    spawn = await spawned(door, call)
    await opened(door, spawn)
    assert await door.value("SELECT private_by FROM runs WHERE run_id = $1", spawn.run_id)
    [note] = await door.plan(spawn.run_id, ("note", {"text": "n"}))
    asked = await door.asked(note)
    assert "all zeros" in await door.value("SELECT reason FROM approvals WHERE approval_id = $1", asked.approval_id)
    await closed(door, spawn.run_id)
    await fetched(door, call)
    sql = "SELECT suspect FROM transcript WHERE run_id = $1 AND call_id = $2"
    assert await door.value(sql, run_id, call.call_id) == "it is all zeros"


async def test_private_data_that_a_sub_agent_read_is_private_to_the_run_that_reads_its_answer(door: Door) -> None:
    helper = await door.publish("secrets_of", module="tests.subagents.private")
    agent = await door.publish("look", delegates=[helper])
    call, spawn = await started(door, agent, helper)
    [read] = await door.plan(spawn.run_id, ("secrets_of", {"name": "bo"}))
    await door.call(read)
    await closed(door, spawn.run_id)
    await fetched(door, call)
    assert await door.value("SELECT private_by FROM runs WHERE run_id = $1", call.run_id)
