"""The off switch as it is typed: what it does, what it says, how it ends."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.halts.halts import Halts
from activities.identity.principals import Principals
from tests.conftest import OTHERS
from tests.halts.test_halts import at_work, halt, word
from tests.harness.checks import assert_sound, facts
from tests.harness.stanchion import Stanchion, eventually, unique
from workers import keys
from workers.services import Home, Services

PATIENCE = 120.0
TERMINATED, COMPLETED = WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.COMPLETED


@dataclass(frozen=True)
class Typed:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Type = Callable[..., Awaitable[Typed]]


@pytest.fixture
def typed(stanchion: Stanchion, services: Services, tmp_path: Path) -> Type:
    """`await typed("halt", "--fleet", ADDRESS="…")`: the CLI on this test's system, with its own state folder."""

    async def run(*words: str, **environment: str) -> Typed:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TEMPORAL_") and k not in OTHERS}
        named = {
            "STANCHION_HOME": str(tmp_path / "home"),
            "DATABASE_URL": stanchion.database_url,
            "TEMPORAL_ADDRESS": services.temporal.address,
            "STANCHION_TASK_QUEUE": stanchion.settings.task_queue,
            "STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS": "1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workers.cli", *words, env=kept | named | environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return Typed(process.returncode, out.decode(), err.decode())

    return run


async def test_halting_a_run_ends_it_and_lists_what_was_in_flight(stanchion: Stanchion, typed: Type) -> None:
    handle, _ = await at_work(stanchion)
    answer = await typed("halt", handle.id.split("/")[-1], "--reason", "enough", "--by", "lee", "--json")
    assert answer.code == 0, answer.err
    assert (answer.data["status"], answer.data["reason"]) == ("stopped", "halted: by lee: enough")
    assert [(e["tool"], e["outcome"]) for e in answer.data["in_flight"]] == [("waits_for_release", "unknown")]
    await assert_sound(stanchion, handle.id)


async def test_a_halt_of_a_tenant_pauses_its_runs_and_resume_lets_them_go_on(stanchion: Stanchion, typed: Type) -> None:
    turns = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "send"), tenant="acme")
    await stanchion.approval(handle)
    answer = await typed("halt", "--tenant", "acme", "--by", "lee", "--json")
    assert (answer.code, answer.data["scope"], answer.data["target"]) == (0, "tenant", "acme")
    await word(handle, "paused")
    listed = (await typed("halts", "--json")).data
    assert [(row["halt"], row["by"], row["proof"]) for row in listed] == [(answer.data["halt"], "lee", "unsigned")]
    lifted = await typed("resume", "--tenant", "acme", "--by", "kim", "--json")
    assert lifted.data == [{"halt": answer.data["halt"], "lifted": True, "by": ["kim"]}]
    await stanchion.decide(handle, "approve")
    assert (await stanchion.outcome(handle))["status"] == "completed"


async def test_lifting_a_halt_of_the_fleet_takes_two_people_with_keys(
    stanchion: Stanchion, typed: Type, tmp_path: Path
) -> None:
    signed = {"STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS": "0"}
    principals = Principals(stanchion.parts.database)
    for name, tenant in (("lee", "*"), ("kim", "*"), ("ana", "acme")):
        await principals.add(tenant, name, [], None, "test")
        await principals.add_key(keys.create(Home(tmp_path / "home"), name).public, "person", tenant, name, "test")
    answer = await typed("halt", "--fleet", "--by", "ana", "--json", **signed)
    assert answer.code == 0
    assert (await Halts(stanchion.parts.database).find(answer.data["halt"])).proof == "unsigned"  # she is of one tenant
    codes = [(await typed("resume", "--fleet", "--by", by, **signed)).code for by in ("ana", "bo", "lee", "lee")]
    assert codes == [3, 3, 0, 0]
    assert len(await Halts(stanchion.parts.database).active()) == 1
    lifted = await typed("resume", "--fleet", "--by", "kim", "--json", **signed)
    assert lifted.data == [{"halt": answer.data["halt"], "lifted": True, "by": ["lee", "kim"]}]
    proofs = await stanchion.rows("SELECT proof FROM lift_orders")
    assert [row["proof"] for row in proofs] == ["signature", "signature"]


async def test_with_temporal_away_the_halt_is_written_and_said_to_be_all(stanchion: Stanchion, typed: Type) -> None:
    handle, _ = await at_work(stanchion)
    answer = await typed("halt", "--fleet", "--by", "lee", "--json", TEMPORAL_ADDRESS="127.0.0.1:1")
    assert answer.code == 5
    assert "Temporal was not told" in answer.err
    assert answer.data["told"] == 0 and [e["run_id"] for e in answer.data["in_flight"]] == [handle.id]
    await word(handle, "paused")  # the worker heard of it all the same


async def test_with_postgres_away_temporal_is_told(stanchion: Stanchion, typed: Type) -> None:
    handle, _ = await at_work(stanchion)
    answer = await typed("halt", handle.id, "--by", "lee", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert answer.code == 5 and "no claim succeeds" in answer.err
    assert (await stanchion.outcome(handle))["status"] == "stopped"


async def test_a_killed_run_is_terminated_and_closed_without_a_reaper(stanchion: Stanchion, typed: Type) -> None:
    handle, _ = await at_work(stanchion)
    turns = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]
    waiting = await stanchion.start(await stanchion.publish(turns, "send"))
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


async def test_runs_that_were_not_told_of_a_lift_hear_of_it_from_the_reaper(stanchion: Stanchion, typed: Type) -> None:
    ordered = await halt(stanchion, "tenant", "acme")
    handle = await stanchion.start(await stanchion.publish([{"text": "done"}]), tenant="acme")
    await word(handle, "paused")
    lifted = await typed("resume", "--tenant", "acme", "--by", "lee", TEMPORAL_ADDRESS="127.0.0.1:1")
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
async def test_a_halt_aims_at_one_thing(typed: Type, words: tuple[str, ...]) -> None:
    answer = await typed("halt", *words)
    assert answer.code == 2 and "say what" in answer.err
