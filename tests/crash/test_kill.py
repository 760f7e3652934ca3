"""kill -9 at every boundary of a call, for every contract: each effect happens exactly once, or a person is asked.

The first worker is a process of its own and dies; the test's own process then takes over. What really happened is
counted by the witness, what we say happened by the effects table, and the two must agree.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from temporalio.client import WorkflowHandle

from tests.crash import tools
from tests.crash.victims import doomed
from tests.crash.witness import Witness, witnessing
from tests.harness.checks import assert_no_task_failed, assert_sound, facts
from tests.harness.stanchion import Stanchion, eventually, unique
from workers.services import Services
from workflows.contracts.runs import RolloverCaps

Handle = WorkflowHandle[Any, Any]
CONTRACTS = ("pure", "idempotent", "checkable", "irreversible")
EFFECTS = CONTRACTS[1:]
PATIENCE = 120.0  # seconds; four interpreters start at once, on a machine that may be busy with other things


@pytest_asyncio.fixture
async def witness() -> AsyncIterator[Witness]:
    async with witnessing() as witness:
        yield witness


@dataclass
class Case:
    """One run: its first worker dies, `rescuer` takes over."""

    witness: Witness
    rescuer: Stanchion
    victim: asyncio.subprocess.Process
    handle: Handle

    @property
    def key(self) -> str:
        """The idempotency key of the run's first call."""
        return f"{self.handle.id}/1.0"

    async def kill(self) -> None:
        """Kill the victim, and see it dead."""
        self.victim.send_signal(signal.SIGKILL)
        await self.died()

    async def died(self) -> None:
        """The victim is dead: by its own hand at the point it was told to, or by ours."""
        assert await asyncio.wait_for(self.victim.wait(), PATIENCE) == -signal.SIGKILL

    async def completes(self, happened: int = 1) -> None:
        """The run completes; the world saw the effect this often, and our books say the same."""
        outcome = await self.rescuer.outcome(self.handle)
        assert outcome["status"] == "completed", outcome
        await self.books_agree(happened)

    async def books_agree(self, happened: int) -> None:
        """What we say was done is what the witness saw."""
        await assert_sound(self.rescuer, self.handle.id)
        await assert_no_task_failed(self.handle)
        assert self.witness.effects[self.key] == happened
        sql = "SELECT count(*) FROM effects WHERE run_id = $1 AND state = 'settled' AND contract <> 'pure'"
        assert await self.rescuer.value(sql, self.handle.id) == happened

    async def asks_what_happened(self) -> str:
        """The run waits for a person to say what happened to the effect."""
        open_one = await self.rescuer.approval(self.handle)
        assert open_one["about"] == "unknown"
        return str(open_one["approval_id"])


@dataclass
class Cases:
    """Makes cases, each on a queue of its own, and leaves no process behind."""

    witness: Witness
    systems: Callable[..., Stanchion]
    temporal: str
    folder: Path
    victims: list[asyncio.subprocess.Process]

    async def start(
        self,
        contract: str,
        die_at: str,
        turns: list[dict[str, Any]] | None = None,
        rollover: RolloverCaps | None = None,
        **definition: Any,
    ) -> Case:
        """Start a run on a worker process that dies at `die_at`, or when the test kills it."""
        caps = rollover or RolloverCaps()
        rescuer = self.systems(tool_settings={"witness": self.witness.url}, rollover=caps)
        script = turns or [{"tools": [{"name": contract, "input": {}}]}, {"text": "done"}]
        agent = await rescuer.publish(script, *CONTRACTS, "undo", module=tools.MODULE, **definition)
        marker, rolls = self.folder / unique("marker"), caps.model_dump()
        dying = await doomed(rescuer, self.temporal, self.witness, die_at, marker, rollover=rolls)
        self.victims.append(dying)
        return Case(self.witness, rescuer, dying, await rescuer.start(agent))


@pytest_asyncio.fixture
async def cases(
    witness: Witness, systems: Callable[..., Stanchion], services: Services, tmp_path: Path
) -> AsyncIterator[Cases]:
    made = Cases(witness, systems, services.temporal.address, tmp_path, [])
    yield made
    for victim in made.victims:
        if victim.returncode is None:
            victim.kill()
            await victim.wait()


async def each(contracts: tuple[str, ...], check: Callable[[str], Any]) -> None:
    """Check every contract, side by side."""
    await asyncio.gather(*(check(contract) for contract in contracts))


# ── at the gateway's own boundaries ─────────────────────────────────────────────────────────────────────────────────


async def test_killed_before_the_claim_every_effect_happens_once(cases: Cases) -> None:
    async def check(contract: str) -> None:
        case = await cases.start(contract, "before-claim")
        await case.died()
        assert case.witness.requests[case.key] == 0
        await case.rescuer.up()
        await case.completes(happened=0 if contract == "pure" else 1)
        assert case.witness.requests[case.key] == 1

    await each(CONTRACTS, check)


async def test_killed_after_the_claim_every_effect_happens_once_and_the_irreversible_one_once_a_person_says_so(
    cases: Cases,
) -> None:
    async def check(contract: str) -> None:
        case = await cases.start(contract, "after-claim")
        await case.died()
        assert case.witness.requests[case.key] == 0
        await case.rescuer.up()
        if contract == "irreversible":
            await case.asks_what_happened()
            assert case.witness.effects[case.key] == 0
            await case.rescuer.decide(case.handle, "did-not")
        await case.completes(happened=0 if contract == "pure" else 1)
        assert case.witness.requests[case.key] == 1

    await each(CONTRACTS, check)


async def test_killed_inside_the_effect_nothing_happens_twice(cases: Cases) -> None:
    cases.witness.hold = True

    async def check(contract: str) -> None:
        case = await cases.start(contract, "nowhere")

        async def got_it() -> bool:
            return case.witness.requests[case.key] == 1

        await eventually(got_it, "the witness got the request", PATIENCE)
        await case.kill()
        await case.rescuer.up()
        if contract == "irreversible":
            await case.asks_what_happened()
            await case.rescuer.decide(case.handle, "happened", reason="it is in the ledger")
        await case.completes(happened=0 if contract == "pure" else 1)
        assert case.witness.requests[case.key] == {"pure": 2, "idempotent": 2}.get(contract, 1)

    await each(CONTRACTS, check)


async def test_killed_between_effect_and_settlement_nothing_happens_twice(cases: Cases) -> None:
    settled_by = {"pure": "result", "idempotent": "result", "checkable": "probe", "irreversible": "person"}

    async def check(contract: str) -> None:
        case = await cases.start(contract, "after-effect")
        await case.died()
        assert case.witness.requests[case.key] == 1
        await case.rescuer.up()
        if contract == "irreversible":
            await case.asks_what_happened()
            await case.rescuer.decide(case.handle, "happened")
        await case.completes(happened=0 if contract == "pure" else 1)
        [observed] = await facts(case.rescuer, case.handle.id, "call.observed")
        assert observed.get("settled_by", "result") == settled_by[contract]

    await each(CONTRACTS, check)


async def test_killed_after_the_settlement_the_result_is_given_again_and_nothing_is_asked(cases: Cases) -> None:
    async def check(contract: str) -> None:
        case = await cases.start(contract, "after-settle")
        await case.died()
        await case.rescuer.up()
        await case.completes(happened=0 if contract == "pure" else 1)
        assert case.witness.requests[case.key] == 1
        assert len(await facts(case.rescuer, case.handle.id, "call.claimed")) == 1

    await each(CONTRACTS, check)


async def test_a_person_who_says_stop_ends_the_run_and_nothing_more_happens(cases: Cases) -> None:
    async def check(die_at: str) -> None:
        case = await cases.start("irreversible", die_at)
        await case.died()
        await case.rescuer.up()
        await case.asks_what_happened()
        await case.rescuer.decide(case.handle, "stop", by="kim")
        outcome = await case.rescuer.outcome(case.handle)
        assert (outcome["status"], outcome["reason"].split(":")[0]) == ("stopped", "halted")
        assert "by kim" in outcome["reason"]
        await assert_sound(case.rescuer, case.handle.id)
        assert case.witness.effects[case.key] == (1 if die_at == "after-effect" else 0)
        state = await case.rescuer.value("SELECT state FROM effects WHERE run_id = $1", case.handle.id)
        assert state == "unknown"

    await each(("after-claim", "after-effect"), check)


# ── around people and roll-overs ────────────────────────────────────────────────────────────────────────────────────


async def test_killed_once_the_approval_was_asked_for_it_is_asked_for_once_and_performed_once(cases: Cases) -> None:
    async def check(contract: str) -> None:
        case = await cases.start(contract, "approval-asked", mode="propose")
        await case.died()
        await case.rescuer.up()
        receipt = await case.rescuer.decide(case.handle, "approve")
        assert receipt["answer"] == "accepted"
        await case.completes()
        sql = "SELECT count(*) FROM approvals WHERE run_id = $1"
        assert await case.rescuer.value(sql, case.handle.id) == 1

    await each(EFFECTS, check)


async def test_killed_while_a_person_thinks_the_decision_still_counts(cases: Cases) -> None:
    async def check(contract: str) -> None:
        case = await cases.start(contract, "nowhere", mode="propose")
        open_one = await case.rescuer.approval(case.handle)
        await case.kill()
        decision = {"approval_id": open_one["approval_id"], "verdict": "approve", "by": "lee"}
        await case.handle.signal("decision", decision)  # nobody is there to hear it but Temporal
        await case.rescuer.up()
        await case.completes()
        assert case.witness.requests[case.key] == 1

    await each(EFFECTS, check)


async def test_what_an_approver_edited_is_what_is_performed_even_after_a_doubt(cases: Cases) -> None:
    case = await cases.start("irreversible", "after-claim", mode="propose")
    await case.rescuer.decide(case.handle, "edit", arguments={"text": "as edited"})
    await case.died()
    await case.rescuer.up()
    await case.asks_what_happened()
    await case.rescuer.decide(case.handle, "did-not")
    await case.completes()
    assert (await case.rescuer.results(case.handle.id))["1.0"] == "done as edited"


async def test_killed_while_it_goes_on_in_a_fresh_history_nothing_is_lost_or_done_twice(cases: Cases) -> None:
    numbers = range(1, 6)

    async def check(contract: str) -> None:
        calls = [{"tools": [{"name": contract, "input": {"number": number}}]} for number in numbers]
        case = await cases.start(contract, "continue-as-new", [*calls, {"text": "done"}], RolloverCaps(events=30))
        await case.died()
        assert (await case.handle.describe()).run_id == case.handle.first_execution_run_id
        await case.rescuer.up()
        outcome = await case.rescuer.outcome(case.handle)
        assert (outcome["status"], outcome["steps"]) == ("completed", 6)
        assert (await case.handle.query("status"))["rollovers"] >= 1
        await assert_sound(case.rescuer, case.handle.id)
        assert [case.witness.requests[f"{case.handle.id}/{number}.0"] for number in numbers] == [1] * 5

    await each(CONTRACTS, check)
