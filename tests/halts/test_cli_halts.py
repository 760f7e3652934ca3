"""The off switch as it is typed: what it does, what it says, how it ends."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.halts.halts import Halts
from activities.identity.principals import Principals
from tests.halts.test_halts import at_work, halt, word
from tests.halts.test_reaper import reap
from tests.harness.checks import assert_sound, facts
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.typed import Terminal
from workers import keys
from workers.cli.stopping.targets import typo_warning
from workers.services import Home, Services
from workflows.contracts.halts import HaltScope

pytestmark = pytest.mark.slow

NOWHERE = "127.0.0.1:1"
NO_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"
SENDS = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]
TERMINATED, COMPLETED = WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.COMPLETED


@pytest.fixture
def typed(stanchion: Stanchion, services: Services, tmp_path: Path) -> Terminal:
    """A terminal on this test's system, with a state folder of its own."""
    return Terminal(
        tmp_path / "home",
        {
            "DATABASE_URL": stanchion.database_url,
            "TEMPORAL_ADDRESS": services.temporal.address,
            "STANCHION_TASK_QUEUE": stanchion.settings.task_queue,
            "STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS": "1",
        },
    )


async def test_halting_a_run_ends_it_and_lists_what_was_in_flight(stanchion: Stanchion, typed: Terminal) -> None:
    handle, _ = await at_work(stanchion)
    answer = await typed("halt", handle.id.split("/")[-1], "--reason", "enough", "--by", "lee", "--json")
    assert answer.code == 0, answer.err
    assert (answer.data["status"], answer.data["reason"]) == ("stopped", "halted: by lee: enough")
    assert [(e["tool"], e["outcome"]) for e in answer.data["in_flight"]] == [("waits_for_release", "unknown")]
    await assert_sound(stanchion, handle.id)


async def test_a_halt_of_a_tenant_pauses_its_runs_and_resume_lets_them_go_on(
    stanchion: Stanchion, typed: Terminal
) -> None:
    handle = await stanchion.start(await stanchion.publish(SENDS, "send"), tenant="acme")
    await stanchion.approval(handle)
    answer = await typed("halt", "--tenant", "acme", "--by", "lee", "--json")
    assert (answer.code, answer.data["scope"], answer.data["target"]) == (0, "tenant", "acme")
    await word(handle, "paused")
    listed = (await typed("halts", "--json")).data
    assert [(row["halt"], row["by"], row["proof"]) for row in listed] == [(answer.data["halt"], "lee", "unsigned")]
    lifted = await typed("resume", "--tenant", "acme", "--by", "kim", "--json")
    assert lifted.data == [{"halt": answer.data["halt"], "lifted": True, "by": ["kim"], "people": 1}]
    await stanchion.decide(handle, "approve")
    assert (await stanchion.outcome(handle))["status"] == "completed"


async def test_lifting_a_halt_of_the_fleet_takes_two_people_with_keys(
    stanchion: Stanchion, typed: Terminal, tmp_path: Path
) -> None:
    signed = {"STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS": "0"}
    principals = Principals(stanchion.parts.database)
    for name, tenant in (("lee", "*"), ("kim", "*"), ("ana", "acme")):
        await principals.add(tenant, name, [], None, "test")
        await principals.add_key(keys.create(Home(tmp_path / "home"), name).public, "person", tenant, name, "test")
    answer = await typed("halt", "--fleet", "--by", "ana", "--json", **signed)
    assert answer.code == 0
    assert (await Halts(stanchion.parts.database).find(answer.data["halt"])).proof == "unsigned"  # she is of one tenant
    lifts = [await typed("resume", "--fleet", "--by", by, **signed) for by in ("ana", "bo", "lee", "lee")]
    assert [lift.code for lift in lifts] == [3, 3, 3, 3]
    assert "not signed" in lifts[1].err
    assert "1 of 2 people so far, lee; somebody else has to type the same" in lifts[3].err
    assert len(await Halts(stanchion.parts.database).active()) == 1
    lifted = await typed("resume", "--fleet", "--by", "kim", "--json", **signed)
    assert lifted.data == [{"halt": answer.data["halt"], "lifted": True, "by": ["lee", "kim"], "people": 2}]
    proofs = await stanchion.rows("SELECT proof FROM lift_orders")
    assert [row["proof"] for row in proofs] == ["signature", "signature"]


async def test_with_temporal_away_the_halt_is_written_and_said_to_be_all(stanchion: Stanchion, typed: Terminal) -> None:
    handle, _ = await at_work(stanchion)
    answer = await typed("halt", "--fleet", "--by", "lee", "--json", TEMPORAL_ADDRESS=NOWHERE)
    assert answer.code == 5
    assert "Temporal was not told" in answer.err
    assert answer.data["told"] == 0 and [e["run_id"] for e in answer.data["in_flight"]] == [handle.id]
    await word(handle, "paused")  # the worker heard of it all the same


async def test_with_postgres_away_temporal_is_told(stanchion: Stanchion, typed: Terminal) -> None:
    handle, _ = await at_work(stanchion)
    answer = await typed("halt", handle.id, "--by", "lee", DATABASE_URL=NO_POSTGRES)
    assert answer.code == 5 and "no claim succeeds" in answer.err
    assert (await stanchion.outcome(handle))["status"] == "stopped"


async def test_a_killed_run_is_terminated_and_closed_without_a_reaper(stanchion: Stanchion, typed: Terminal) -> None:
    handle, _ = await at_work(stanchion)
    waiting = await stanchion.start(await stanchion.publish(SENDS, "send"))
    await stanchion.approval(waiting)
    for run in (handle, waiting):
        answer = await typed("kill", run.id, "--by", "lee", "--reason", "now", "--json")
        assert answer.code == 0, answer.err
        rule, _, why = answer.data["reason"].partition(": ")
        status = (await run.describe()).status
        # One that is at work may be faster than the terminate: it sees the halt.
        assert (rule, status) in (("killed", TERMINATED), ("halted", TERMINATED), ("halted", COMPLETED))
        assert why == "by lee: now" and (rule == "killed" or run is handle)
        await assert_sound(stanchion, run.id)
    assert await stanchion.value("SELECT state FROM effects WHERE run_id = $1", handle.id) == "unknown"
    assert await stanchion.value("SELECT state FROM approvals WHERE run_id = $1", waiting.id) == "withdrawn"
    [doubt] = await facts(stanchion, handle.id, "outcome.unknown")
    assert doubt["reason"].startswith("the run ended: ") and doubt["reason"].endswith(": by lee: now")
    assert await Halts(stanchion.parts.database).active() == []


async def test_a_killed_run_says_what_it_had_used(stanchion: Stanchion, typed: Terminal) -> None:
    turns = [{"tools": [{"name": name, "input": given}]} for name, given in (("look", {}), ("wait", {"minutes": 60}))]
    run = await stanchion.start(await stanchion.publish(turns, "look"))

    async def sleeps() -> bool:
        return bool((await run.query("status"))["status"] == "sleeping")

    await eventually(sleeps, "it sleeps")
    answer = await typed("kill", run.id, "--by", "lee", "--json")
    assert (answer.data["steps"], answer.data["spent"]["tool_calls"]) == (2, 1)


async def test_runs_that_were_not_told_of_a_lift_hear_of_it_from_the_reaper(
    stanchion: Stanchion, typed: Terminal
) -> None:
    ordered = await halt(stanchion, "tenant", "acme")
    handle = await stanchion.start(await stanchion.publish([{"text": "done"}]), tenant="acme")
    await word(handle, "paused")
    lifted = await typed("resume", "--tenant", "acme", "--by", "lee", TEMPORAL_ADDRESS=NOWHERE)
    assert lifted.code == 0 and "the reaper tells them" in lifted.err, lifted.err
    assert (await handle.query("status"))["status"] == "paused"

    async def reaped() -> bool:  # the list of runs lags behind a little
        await stanchion.client.execute_workflow(
            "ReaperWorkflow", id=unique("reaper"), task_queue=stanchion.settings.task_queue
        )
        await stanchion.rows("UPDATE halts SET told_at = NULL WHERE halt_id = $1", ordered.notice.halt_id)
        return bool((await handle.describe()).status == COMPLETED)

    await eventually(reaped, "the run went on")


@pytest.mark.parametrize("words", [(), ("--agent", "a", "--fleet"), ("run-1", "--tenant", "t")])
async def test_a_halt_aims_at_one_thing(typed: Terminal, words: tuple[str, ...]) -> None:
    answer = await typed("halt", *words)
    assert answer.code == 2 and "say what" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--agent", "help-dsk"), "no agent is called 'help-dsk'; did you mean 'help-desk'?"),
        (("--tool", "sent"), "no agent has a tool called 'sent'; did you mean 'send'?"),
        (("--tenant", "acne"), "no run and no person is of a tenant called 'acne'; did you mean 'acme'?"),
        (("agent/help-desk/none",), "no run of this name was opened yet; if one is opened later, it is halted"),
    ],
)
async def test_whoever_halts_something_that_is_not_there_is_told_and_the_halt_is_in_force(
    stanchion: Stanchion, typed: Terminal, words: tuple[str, ...], said: str
) -> None:
    await stanchion.publish(SENDS, "send", name="help-desk")
    await Principals(stanchion.parts.database).add("acme", "ana", [], None, "test")
    answer = await typed("halt", *words, "--by", "lee", "--json")
    assert (answer.code, answer.data["warning"]) == (0, said)
    assert f"stanchion: {said}\n  The halt is in force all the same; " in answer.err
    [row] = (await typed("halts", "--json")).data
    assert (row["halt"], row["target"]) == (answer.data["halt"], words[-1])
    assert f"`stanchion halts --lift {row['halt']}` takes it back" in answer.err
    lifted = await typed("halts", "--lift", row["halt"], "--by", "kim", "--json")
    assert lifted.data == [{"halt": row["halt"], "lifted": True, "by": ["kim"], "people": 1}]
    again = await typed("halts", "--lift", row["halt"], "--by", "kim", "--json")
    assert (again.code, again.data) == (0, [])
    if words[0].startswith("--"):  # nothing of that name is halted, which is not what whoever types this believes
        nothing = await typed("resume", *words, "--by", "kim")
        assert nothing.code == 3 and "is in force; `stanchion halts` lists those that are" in nothing.err
    assert (await typed("halts", "--lift", "halt-none")).code == 2


@pytest.mark.parametrize(
    ("scope", "target"), [("agent", "help-desk"), ("tool", "send"), ("tool", "wait"), ("fleet", "")]
)
async def test_whoever_halts_something_that_is_there_is_not_bothered(
    stanchion: Stanchion, scope: HaltScope, target: str
) -> None:
    await stanchion.publish(SENDS, "send", name="help-desk")
    assert await typo_warning(stanchion.parts.database, scope, target) is None


@pytest.mark.parametrize("command", ["halt", "kill"])
async def test_a_run_that_is_over_stays_as_it_ended_and_one_that_is_not_there_is_not_halted(
    stanchion: Stanchion, typed: Terminal, command: str
) -> None:
    handle = await stanchion.start(await stanchion.publish([{"text": "done"}]))
    await stanchion.outcome(handle)
    answer = await typed(command, handle.id, "--by", "lee", "--json")
    assert (answer.code, answer.data["status"], answer.data["in_flight"]) == (0, "completed", [])
    assert "was over already" in answer.err
    nothing = await typed(command, "nothing-of-this-name", "--by", "lee", "--json")
    assert (nothing.code, nothing.out) == (2, "") and "no run is called 'nothing-of-this-name'" in nothing.err
    assert await Halts(stanchion.parts.database).active() == []


async def test_a_halted_run_is_not_resumed_and_one_under_a_halt_says_what_lifts_it(
    stanchion: Stanchion, typed: Terminal
) -> None:
    handle, _ = await at_work(stanchion)
    await typed("halt", handle.id, "--by", "lee")
    for word_ in ("resume", "pause"):
        over = await typed(word_, handle.id, "--by", "lee")
        assert over.code == 3 and "is over (stopped: halted: by lee); start it again under another key" in over.err
    ordered = await halt(stanchion, "tenant", "acme")
    waiting = await stanchion.start(await stanchion.publish([{"text": "done"}]), tenant="acme")
    await word(waiting, "paused")
    told = await typed("resume", waiting.id, "--by", "lee")
    lifts = f"{ordered.notice.halt_id} still halts it: `stanchion resume --tenant acme` lifts that"
    assert told.code == 3 and lifts in told.err
    await typed("kill", waiting.id)


async def test_a_temporal_that_takes_connections_and_answers_nothing_holds_up_no_halt(
    stanchion: Stanchion, typed: Terminal
) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.transport.abort()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    handle, _ = await at_work(stanchion)
    answer = await typed("halt", handle.id, "--by", "lee", "--json", TEMPORAL_ADDRESS=address)
    assert answer.code == 5 and "Temporal was not told" in answer.err
    assert (await stanchion.outcome(handle))["status"] == "stopped"
    server.close()


async def test_a_run_that_is_killed_while_temporal_is_away_is_closed_and_the_reaper_ends_it_there(
    stanchion: Stanchion, typed: Terminal
) -> None:
    handle = await stanchion.start(await stanchion.publish(SENDS, "send"))
    await stanchion.approval(handle)
    answer = await typed("kill", handle.id, "--by", "lee", "--json", TEMPORAL_ADDRESS=NOWHERE)
    assert (answer.code, answer.data["terminated"], answer.data["reason"]) == (5, False, "killed: by lee")
    assert await stanchion.value("SELECT state FROM approvals WHERE run_id = $1", handle.id) == "withdrawn"
    assert (await typed("halts", "--json")).data == []  # nobody has to lift it
    assert await stanchion.results(handle.id) == {"1.0": "Not performed: the run ended first."}
    assert "ended" not in await reap(stanchion)  # one that ends by itself at this moment is left alone
    await stanchion.rows("UPDATE runs SET closed_at = now() - interval '2 minutes' WHERE run_id = $1", handle.id)
    assert ((await reap(stanchion))["ended"], (await handle.describe()).status) == (1, TERMINATED)
    assert await stanchion.value("SELECT count(*) FROM halts WHERE lifted_at IS NULL") == 0


async def test_with_postgres_away_a_run_is_terminated_by_its_whole_name(stanchion: Stanchion, typed: Terminal) -> None:
    handle, _ = await at_work(stanchion)
    answer = await typed("kill", handle.id, "--by", "lee", "--json", DATABASE_URL=NO_POSTGRES)
    assert (answer.code, answer.data["terminated"]) == (5, True)
    assert (await handle.describe()).status == TERMINATED
    short = await typed("halt", "run-1", "--by", "lee", DATABASE_URL=NO_POSTGRES)
    assert short.code == 5 and "type the whole run id" in short.err


async def test_a_run_that_stood_still_when_it_was_halted_with_temporal_away_is_ended_by_the_reaper(
    stanchion: Stanchion, typed: Terminal
) -> None:
    handle = await stanchion.start(await stanchion.publish(SENDS, "send"))
    await stanchion.approval(handle)
    assert (await typed("halt", handle.id, "--by", "lee", TEMPORAL_ADDRESS=NOWHERE)).code == 5
    await stanchion.rows("UPDATE halts SET at = now() - interval '2 minutes'")
    assert (await reap(stanchion))["ended"] == 1
    assert (await stanchion.outcome(handle))["reason"] == "halted: by lee"
    assert "ended" not in await reap(stanchion)


async def test_a_drill_every_week_is_one_schedule_however_often_it_is_asked_for_and_none_once_it_is_off(
    stanchion: Stanchion, typed: Terminal
) -> None:
    name = f"drill-{stanchion.settings.task_queue}"
    for runs in ("6", "12"):
        answer = await typed("drill", "--runs", runs, "--schedule", "weekly", "--json")
        assert (answer.code, answer.data) == (0, {"schedule": name, "every": "weekly"}), answer.err
    described = (await stanchion.client.get_schedule_handle(name).describe()).schedule
    assert [interval.every for interval in described.spec.intervals] == [timedelta(weeks=1)]
    assert b'"runs":12' in described.action.args[0].data  # the last one who asked
    for word_ in ("off", "never"):
        assert (await typed("drill", "--schedule", word_)).code == 0
    with pytest.raises(RPCError, match="not found"):
        await stanchion.client.get_schedule_handle(name).describe()
    wrong = await typed("drill", "--schedule", "daily")
    assert wrong.code == 2 and "--schedule takes weekly or off" in wrong.err
    live = await typed("drill", "--schedule", "weekly", "--live", "--scope", "fleet")
    assert live.code == 2 and "a live drill cannot be scheduled" in live.err
