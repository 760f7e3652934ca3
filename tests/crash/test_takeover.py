"""A worker that dies is noticed by the others at once; one that only lost its session is not robbed of its work."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from activities.gateway.execution.effects import ClaimLost, WorkerUnconnected
from activities.liveness.session import SQL, WorkerSession, new_worker_id
from activities.liveness.takeover import GONE, Takeover
from activities.storage.database import Database
from tests.crash.tools import MODULE
from tests.crash.victims import doomed
from tests.crash.witness import Witness, witnessing
from tests.harness.stanchion import Stanchion, eventually, unique
from workers.database import prepare_database
from workers.services import Home, Services, ensure_postgres
from workers.services.postgres import stop_postgres
from workflows.contracts.calls import CallRequest
from workflows.contracts.runs import RolloverCaps


class Recorder:
    """Sessions of a test, and whom each took for dead."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dead: list[tuple[str, str]] = []
        self.sessions: list[WorkerSession] = []

    async def session(self) -> WorkerSession:
        """One more worker."""
        made = WorkerSession(self.url, new_worker_id())

        async def died(worker_id: str) -> None:
            self.dead.append((made.worker_id, worker_id))

        await made.start(["queue"], died)
        assert made.may_claim
        self.sessions.append(made)
        return made

    async def close(self) -> None:
        """End all of them."""
        for session in self.sessions:
            await session.close()


@pytest_asyncio.fixture
async def recorder(database_url: str) -> AsyncIterator[Recorder]:
    """Sessions on this test's database."""
    made = Recorder(database_url)
    yield made
    await made.close()


async def cut(database: Database, session: WorkerSession) -> int:
    """Have Postgres end a worker's session; the process id that it had there."""
    pool = await database.pool()
    sql = "SELECT backend_pid FROM workers WHERE worker_id = $1"
    pid = int(await pool.fetchval(sql, session.worker_id))
    await pool.execute("SELECT pg_terminate_backend($1)", pid)
    return pid


# ── a worker that is killed ─────────────────────────────────────────────────────────────────────────────────────────


@pytest_asyncio.fixture
async def witness() -> AsyncIterator[Witness]:
    """The service outside that counts effects."""
    async with witnessing() as witness:
        yield witness


async def test_what_a_killed_worker_had_in_flight_is_tried_elsewhere_before_any_time_out(
    systems: Callable[..., Stanchion], services: Services, witness: Witness, tmp_path: Path
) -> None:
    """The attempt that follows says that the worker was gone, not that a heartbeat was missing."""
    system = systems()
    script = [{"tools": [{"name": "idempotent", "input": {}}]}, {"text": "done"}]
    agent = await system.publish(script, "idempotent", "undo", module=MODULE)
    address, marker = services.temporal.address, tmp_path / "marker"
    processes = [await doomed(system, address, witness, "after-effect", marker) for _ in range(2)]
    handle = await system.start(agent)
    outcome = await system.outcome(handle)
    for process in processes:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
    assert outcome["status"] == "completed" and marker.exists()
    assert witness.effects[f"{handle.id}/1.0"] == 1
    started = [
        event.activity_task_started_event_attributes
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_started_event_attributes")
    ]
    again = [each.last_failure.application_failure_info.type for each in started if each.attempt > 1]
    assert again == [GONE]


async def test_a_workflow_task_that_a_killed_worker_had_started_is_tried_elsewhere_before_its_time_out(
    systems: Callable[..., Stanchion], services: Services, witness: Witness, tmp_path: Path
) -> None:
    """The worker dies in the middle of the task in which its run goes on in a fresh history."""
    system = systems(rollover=RolloverCaps(events=30))
    calls = [{"tools": [{"name": "idempotent", "input": {"number": number}}]} for number in range(5)]
    agent = await system.publish([*calls, {"text": "done"}], "idempotent", "undo", module=MODULE)
    address, marker, rolls = services.temporal.address, tmp_path / "marker", RolloverCaps(events=30).model_dump()
    processes = [await doomed(system, address, witness, "continue-as-new", marker, rollover=rolls) for _ in range(2)]
    handle = await system.start(agent)
    outcome = await system.outcome(handle)
    for process in processes:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
    assert (outcome["status"], outcome["steps"]) == ("completed", 6) and marker.exists()
    first = system.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    ended = [event async for event in first.fetch_history_events()]
    failed = [
        event.workflow_task_failed_event_attributes.failure.application_failure_info.type
        for event in ended
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    assert failed == [GONE]
    assert not any(event.HasField("workflow_task_timed_out_event_attributes") for event in ended)
    assert [witness.requests[f"{handle.id}/{number}.0"] for number in range(1, 6)] == [1] * 5


async def test_of_survivors_that_notice_together_one_looks_after_the_dead(
    stanchion: Stanchion, recorder: Recorder
) -> None:
    dead = await _dead_worker(stanchion)
    survivors = [await recorder.session() for _ in range(2)]
    taken = await asyncio.gather(
        *(SQL["take"].rows(stanchion.parts.database, worker_id=dead, by=each.worker_id) for each in survivors)
    )
    assert sorted(len(rows) for rows in taken) == [0, 1]


async def test_the_death_of_the_one_who_looks_after_the_dead_is_noticed_too(
    stanchion: Stanchion, recorder: Recorder
) -> None:
    dead, helper = await _dead_worker(stanchion), await _dead_worker(stanchion)
    await stanchion.rows("UPDATE workers SET taken_by = $2, taken_at = now() WHERE worker_id = $1", dead, helper)
    survivor = await recorder.session()

    async def both() -> bool:
        return {(survivor.worker_id, dead), (survivor.worker_id, helper)} <= set(recorder.dead)

    await eventually(both, "both deaths are noticed")
    await Takeover(stanchion.client, stanchion.parts.database, survivor.worker_id).take_over(dead)
    assert await stanchion.value("SELECT gone_at IS NOT NULL FROM workers WHERE worker_id = $1", dead)


async def _dead_worker(stanchion: Stanchion) -> str:
    """A worker that registered and holds no lock."""
    worker_id = new_worker_id()
    await SQL["register"].rows(stanchion.parts.database, worker_id=worker_id, queues=["queue"])
    return worker_id


# ── a worker that lives ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_whose_session_is_cut_is_back_before_anyone_takes_it_for_dead(
    stanchion: Stanchion, recorder: Recorder
) -> None:
    first, other = await recorder.session(), await recorder.session()
    before = await cut(stanchion.parts.database, first)

    async def back() -> bool:
        sql = "SELECT backend_pid <> $2 AND worker_is_connected(number) FROM workers WHERE worker_id = $1"
        return bool(await stanchion.value(sql, first.worker_id, before)) and first.may_claim

    await eventually(back, "it has a session again")
    assert other.may_claim and recorder.dead == []
    assert (first.sessions, other.sessions) == (2, 1)  # the first one now waits before it takes others for dead


async def test_a_worker_without_a_session_claims_nothing(systems: Callable[..., Stanchion]) -> None:
    stanchion = await systems().up(["workflow", "model", "operations"])
    turns = [{"tools": [{"name": "note", "input": {"text": "a"}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "note", "take_back"))

    async def planned() -> bool:
        return bool(await stanchion.value("SELECT count(*) FROM calls WHERE run_id = $1", handle.id))

    await eventually(planned, "the call is planned")
    request, session = CallRequest(run_id=handle.id, call_id="1.0"), stanchion.parts.session
    await session.start(["queue"], _nobody)
    session._has_lock.clear()
    with pytest.raises(WorkerUnconnected):
        await stanchion.parts.gateway.call(request)
    session._has_lock.set()
    await stanchion.rows("UPDATE workers SET fenced_at = now() WHERE worker_id = $1", session.worker_id)
    with pytest.raises(ClaimLost):
        await stanchion.parts.gateway.call(request)
    assert await stanchion.value("SELECT count(*) FROM effects WHERE run_id = $1", handle.id) == 0
    await stanchion.rows("UPDATE workers SET fenced_at = NULL WHERE worker_id = $1", session.worker_id)
    assert (await stanchion.parts.gateway.call(request)).kind == "observed"
    await handle.terminate()


async def _nobody(worker_id: str) -> None:
    raise AssertionError(f"{worker_id} was taken for dead")


async def test_a_restart_of_postgres_makes_nobody_dead(tmp_path: Path) -> None:
    home = Home(tmp_path / ("deep" * 20) / "home")  # its socket has a folder of its own, and the same one again
    home.prepare()
    postgres = await ensure_postgres(home, None, lambda line: None)
    await prepare_database(postgres.url)
    recorder = Recorder(postgres.url)
    sessions = [await recorder.session() for _ in range(3)]
    await stop_postgres(home)

    async def none_may_claim() -> bool:
        return not any(session.may_claim for session in sessions)

    await eventually(none_may_claim, "no worker claims")
    await ensure_postgres(home, None, lambda line: None)

    async def all_may_claim() -> bool:
        return all(session.may_claim for session in sessions)

    await eventually(all_may_claim, "all workers have their sessions back")
    assert recorder.dead == []
    await recorder.close()
    await stop_postgres(home)


async def test_a_worker_that_ends_in_order_leaves_no_trace(stanchion: Stanchion, recorder: Recorder) -> None:
    first, _ = await recorder.session(), await recorder.session()
    await first.close()
    assert await stanchion.value("SELECT count(*) FROM workers WHERE worker_id = $1", first.worker_id) == 0


def test_worker_ids_differ_also_where_process_ids_repeat() -> None:
    one, other = new_worker_id(), new_worker_id()
    assert one != other and one.startswith(f"{os.getpid()}@")
    assert unique("x") != unique("x")
