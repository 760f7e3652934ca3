"""One yes is one execution, and one decision is one decision, however often either is sent again, by however many."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from activities.gateway.execution.effects import ClaimLost
from tests.harness.door import Call, Door
from tests.harness.outcomes import done
from tests.harness.stanchion import eventually
from tests.harness.toolbox import RELEASE
from workflows.contracts.approvals import DecisionReceipt
from workflows.contracts.calls import CallResult, NeedsApproval, Observed, Refused, Unknown

REPLAYS = 1_000
WORKERS = 3
PAY = {"to": "4711-0815", "cents": 500}
SEND = {"to": "ann@acme.example"}


class Barrier:
    """Holds every attempt at its claim until all of them are there, and then lets all go at once."""

    def __init__(self, attempts: int) -> None:
        self._missing = attempts
        self._open = asyncio.Event()

    async def __call__(self, where: str) -> None:
        if where == "before-claim" and not self._open.is_set():
            self._missing -= 1
            if not self._missing:
                self._open.set()
            await asyncio.wait_for(self._open.wait(), 60)


async def one(door: Door, tool: str, arguments: dict[str, Any]) -> Call:
    """The only call of a new run."""
    agent = await door.publish("send", "pay")
    return (await door.plan(await door.open(agent, "Pay account 4711-0815 its 500 cents."), (tool, arguments)))[0]


async def attempts(call: Call, doors: list[Door], times: int = REPLAYS) -> list[CallResult | BaseException]:
    """Attempts at one call at once, spread over workers."""
    tries = (doors[n % len(doors)].call(call) for n in range(times))
    return await asyncio.gather(*tries, return_exceptions=True)


async def claims(door: Door) -> int:
    """How often a call was claimed, says the trace log."""
    return int(await door.value("SELECT count(*) FROM events WHERE kind = 'call.claimed'"))


@pytest.mark.parametrize(("tool", "arguments", "people"), [("send", SEND, "lee"), ("pay", PAY, "lee kim")])
async def test_a_thousand_attempts_at_one_approved_call_at_the_same_time_are_one_execution_with_one_answer(
    door: Door, tool: str, arguments: dict[str, Any], people: str
) -> None:
    call = await one(door, tool, arguments)
    asked = await door.asked(call)
    for person in people.split():
        await door.decide(asked, call.run_id, by=person)
    barrier = Barrier(REPLAYS)
    doors = [door.another(barrier) for _ in range(WORKERS)]
    together = await attempts(call, doors)
    assert Counter(type(answer) for answer in together) == {Observed: 1, ClaimLost: REPLAYS - 1}
    again = await attempts(call, doors)  # who lost the claim is sent again by Temporal
    (won,) = (answer for answer in together if isinstance(answer, Observed))
    assert again == [won] * REPLAYS
    assert (call.happened, await claims(door)) == (1, 1)
    assert await door.value("SELECT count(*) FROM transcript WHERE kind = 'result'") == 1


async def test_attempts_while_the_call_is_under_way_do_not_execute_it_a_second_time(door: Door) -> None:
    RELEASE["0815-4711"] = asyncio.Event()
    call = await one(door, "pay", {"to": "0815-4711", "cents": 1})
    asked = await door.asked(call)
    await door.decide(asked, call.run_id)
    await door.decide(asked, call.run_id, by="kim")
    first = asyncio.ensure_future(door.call(call))

    async def is_under_way() -> bool:
        return call.happened == 1

    await eventually(is_under_way)
    meanwhile = await attempts(call, [door, door.another()], 50)
    RELEASE.pop("0815-4711").set()
    assert {type(answer) for answer in meanwhile} == {Unknown}
    assert done(await first)
    assert await attempts(call, [door, door.another()], 50) == [await first] * 50
    assert (call.happened, await claims(door)) == (1, 1)


async def test_a_thousand_attempts_at_a_rejected_call_are_one_refusal_and_no_execution(door: Door) -> None:
    call = await one(door, "send", SEND)
    await door.decide(await door.asked(call), call.run_id, "reject", reason="not now")
    await attempts(call, [door, door.another()])
    assert await attempts(call, [door]) == [Refused(call_id=call.call_id, rule="approval.rejected")] * REPLAYS
    assert call.happened == 0
    assert await door.value("SELECT count(*) FROM transcript WHERE kind = 'result'") == 1


async def test_a_thousand_attempts_at_a_call_that_asks_open_one_approval(door: Door) -> None:
    call = await one(door, "send", SEND)
    answers = await attempts(call, [door, door.another()])
    assert {type(answer) for answer in answers} == {NeedsApproval}
    assert len({str(answer) for answer in answers}) == 1
    assert await door.value("SELECT count(*) FROM approvals") == 1
    assert call.happened == 0


# ── decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def decisions(
    door: Door, asked: NeedsApproval, call: Call, times: int = REPLAYS, **more: Any
) -> Counter[tuple[str, bool]]:
    """The same decision many times at once, over two workers: how often each answer came."""
    doors = [door, door.another()]
    sent = (doors[n % 2].decide(asked, call.run_id, **more) for n in range(times))
    receipts: list[DecisionReceipt] = await asyncio.gather(*sent)
    return Counter((receipt.answer, receipt.closes) for receipt in receipts)


async def recorded(door: Door) -> tuple[int, int]:
    """How many decisions are stored, and how many are in the trace log."""
    stored = await door.value("SELECT count(*) FROM decisions")
    return int(stored), int(await door.value("SELECT count(*) FROM events WHERE kind = 'decision.recorded'"))


async def test_the_same_decision_a_thousand_times_is_recorded_once_and_then_already_decided(door: Door) -> None:
    call = await one(door, "send", SEND)
    answers = await decisions(door, await door.asked(call), call)
    assert answers == {("accepted", True): 1, ("already decided", True): REPLAYS - 1}
    assert await recorded(door) == (1, 1)
    assert isinstance(await door.call(call), Observed)
    assert call.happened == 1


@pytest.mark.parametrize("more", [{}, {"digest": True}], ids=["as it is", "naming the call's digest"])
async def test_one_persons_yes_a_thousand_times_is_not_two_peoples(door: Door, more: dict[str, Any]) -> None:
    call = await one(door, "pay", PAY)
    asked = await door.asked(call)
    named = {"digest": await door.value("SELECT digest FROM approvals")} if more else {}
    answers = await decisions(door, asked, call, **named)
    assert answers == {("accepted", False): 1, ("already decided", False): REPLAYS - 1}
    for by in ("Lee", "LEE", " lee "):
        receipt = await door.decide(asked, call.run_id, by=by)
        assert (receipt.answer, receipt.closes) == ("already decided", False), by
    assert await recorded(door) == (1, 1)
    assert isinstance(await door.call(call), NeedsApproval)
    assert call.happened == 0


async def test_of_a_thousand_people_who_say_yes_at_once_as_many_count_as_are_needed(door: Door) -> None:
    call = await one(door, "pay", PAY)
    asked = await door.asked(call)
    doors = [door, door.another()]
    said = (doors[n % 2].decide(asked, call.run_id, by=f"person-{n}") for n in range(REPLAYS))
    answers = Counter((receipt.answer, receipt.closes) for receipt in await asyncio.gather(*said))
    assert answers == {("accepted", False): 1, ("accepted", True): 1, ("already decided", True): REPLAYS - 2}
    assert await recorded(door) == (2, 2)


async def test_a_yes_and_a_no_at_once_are_one_answer(door: Door) -> None:
    call = await one(door, "send", SEND)
    asked = await door.asked(call)
    verdicts = ("approve", "reject") * 50
    said = (door.decide(asked, call.run_id, verdict, by=f"person-{n}") for n, verdict in enumerate(verdicts))
    answers = Counter(receipt.answer for receipt in await asyncio.gather(*said))
    assert answers == {"accepted": 1, "already decided": 99}
    verdict = await door.value("SELECT state FROM approvals")
    assert await recorded(door) == (1, 1)
    assert isinstance(await door.call(call), Observed if verdict == "approve" else Refused)
    assert call.happened == (verdict == "approve")
