"""Whom a call is about confirms it with a one-time code: nobody else can, no guess gets in, and no code lies about.

The test plays the workflow; what is delivered is found in the letter box of tests/harness/people.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from activities.approvals import record
from activities.approvals.one_time_codes import CODE_TRIES
from activities.gateway.facts import SQL as GATEWAY
from activities.storage.database import StoreUnavailable
from activities.storage.queries import Query
from tests.harness.door import Door
from tests.harness.people import DELIVER, LETTERS, UNREACHABLE, Desk, another_code, code_for, refusal
from tests.harness.stanchion import Stanchion
from tests.harness.toolbox import WITNESS
from workflows.contracts.approvals import DecisionReceipt
from workflows.contracts.calls import NeedsApproval, Refused

BO, ANN, LEE, KIM, ANA = (f"{name}@acme.example" for name in ("bo", "ann", "lee", "kim", "ana"))

Asks = Callable[..., Awaitable[Desk]]


@pytest_asyncio.fixture
async def asks(database_url: str) -> AsyncIterator[Asks]:
    """`await asks(people=0)`: a call about Bo, who has to confirm it with a code."""
    door = Door.make(database_url)

    async def ask(people: int = 0, **more: Any) -> Desk:
        return await Desk.open(door, "send", {"to": BO}, **{"confirm": "to", "people": people} | more)

    yield ask
    await door.close()


async def confirm(desk: Desk, code: str, **more: Any) -> DecisionReceipt:
    """Enter a code, as its surface sends it: nobody signs it, it is the proof."""
    return await desk.send({"approval_id": desk.asked.approval_id, "verdict": "approve", "by": BO, "code": code} | more)


# ── the right one ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_code_that_was_brought_to_the_subject_confirms_and_the_call_happens_once(asks: Asks) -> None:
    desk = await asks()
    assert not await desk.performed()  # another attempt: it still waits, and sends no second code
    [(person, code)] = LETTERS[desk.call.run_id]
    assert person == BO
    receipt = await confirm(desk, f"{code[:4]} {code[4:]}")
    assert (receipt.answer, receipt.closes) == ("accepted", True)
    assert await desk.performed() and await desk.performed()
    [row] = await desk.door.rows("SELECT by, verdict, proof, signed FROM decisions")
    assert tuple(row) == (BO, "approve", "code", False)


async def test_who_asked_for_it_may_be_whom_it_is_about_and_confirms_like_anyone(asks: Asks) -> None:
    desk = await asks(requester=BO)
    assert (await confirm(desk, code_for(desk.call.run_id))).closes
    assert await desk.performed()


@pytest.mark.parametrize("first", ["the code", "the yes"])
async def test_where_people_are_asked_too_it_takes_both_in_any_order(asks: Asks, first: str) -> None:
    desk = await asks(people=1)
    lee = await desk.people.add(LEE)

    async def entered() -> DecisionReceipt:
        return await confirm(desk, code_for(desk.call.run_id))

    async def approved() -> DecisionReceipt:
        return await desk.says(lee)

    one, other = (entered, approved) if first == "the code" else (approved, entered)
    receipt = await one()
    assert (receipt.answer, receipt.closes) == ("accepted", False)
    assert not await desk.performed()
    assert (await other()).closes
    assert await desk.performed()


async def test_four_wrong_codes_are_forgiven(asks: Asks) -> None:
    desk = await asks()
    code = code_for(desk.call.run_id)
    for _ in range(CODE_TRIES - 1):
        assert "not the code that was sent" in await desk.refuses(await confirm(desk, another_code(code)))
    assert (await confirm(desk, code)).closes
    assert await desk.performed()


# ── anything else ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_five_wrong_codes_close_it_and_the_right_one_comes_too_late(asks: Asks) -> None:
    desk = await asks()
    code = code_for(desk.call.run_id)
    receipts = [await confirm(desk, another_code(code)) for _ in range(CODE_TRIES)]
    assert [receipt.closes for receipt in receipts] == [False] * (CODE_TRIES - 1) + [True]
    assert "too many wrong codes" in refusal(receipts[-1])
    assert "is withdrawn" in refusal(await confirm(desk, code))
    answer = await desk.door.call(desk.call)
    assert isinstance(answer, Refused)
    assert (answer.rule, desk.call.happened) == ("approval.expired", 0)


async def test_fifty_guesses_at_the_same_moment_are_five(asks: Asks) -> None:
    desk = await asks()
    wrong = another_code(code_for(desk.call.run_id))
    receipts = await asyncio.gather(*(confirm(desk, wrong) for _ in range(50)))
    assert all(refusal(receipt) for receipt in receipts)
    assert await desk.shown("code_tries") == CODE_TRIES
    assert await desk.shown("state") == "withdrawn"


async def test_no_more_than_five_codes_are_ever_compared(asks: Asks, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, compared = await asks(), list[str]()
    monkeypatch.setattr(record.hmac, "compare_digest", lambda given, known: compared.append(given) or given == known)
    wrong = another_code(code_for(desk.call.run_id))
    for _ in range(5):
        await asyncio.gather(*(confirm(desk, wrong) for _ in range(60)))
    assert len(compared) == CODE_TRIES
    assert (await desk.shown("code_tries"), await desk.shown("state")) == (CODE_TRIES, "withdrawn")


@pytest.mark.parametrize("people", [0, 1])
async def test_the_right_code_counts_among_guesses_that_come_at_the_same_moment(asks: Asks, people: int) -> None:
    desk = await asks(people=people)
    code = code_for(desk.call.run_id)
    typed = [*[another_code(code)] * (CODE_TRIES - 1), code]
    receipts = await asyncio.gather(*(confirm(desk, each) for each in typed))
    assert receipts[-1].answer == "accepted"
    assert await desk.shown("confirmed_at") is not None
    assert await desk.performed() == (people == 0)


async def test_one_code_entered_many_times_at_once_counts_once(asks: Asks) -> None:
    desk = await asks(people=1)
    receipts = await asyncio.gather(*(confirm(desk, code_for(desk.call.run_id)) for _ in range(10)))
    assert [receipt.answer for receipt in receipts].count("accepted") == 1
    assert {receipt.answer for receipt in receipts} == {"accepted", "already decided"}
    assert (await desk.decisions(), await desk.performed()) == (1, False)


async def test_an_approver_does_not_confirm_in_place_of_the_subject(asks: Asks) -> None:
    desk = await asks()
    lee = await desk.people.add(LEE)
    receipt = await desk.says(lee)
    assert (receipt.answer, receipt.closes, await desk.performed()) == ("not allowed", False, False)
    assert "needs no approver" in receipt.reason
    wrong = another_code(code_for(desk.call.run_id))
    assert "not the code" in refusal(await desk.says(await desk.people.add(KIM), code=wrong))
    assert not await desk.performed()
    assert await desk.shown("confirmed_at") is None


@pytest.mark.parametrize("by", [BO, "Bo@ACME.example", " bo@acme.example "])
async def test_the_subjects_own_yes_is_no_code_and_does_not_spoil_it(asks: Asks, by: str) -> None:
    desk = await asks(people=1)
    bo = await desk.people.add(BO)
    assert "stanchion confirm" in await desk.refuses(await desk.says(bo, by=by))
    assert (await confirm(desk, code_for(desk.call.run_id))).answer == "accepted"
    assert not await desk.performed()  # and they are none of the people who approve, either
    assert (await desk.says(await desk.people.add(LEE))).closes
    assert await desk.performed()


async def test_the_subject_may_say_no_without_a_code(asks: Asks) -> None:
    desk = await asks()
    assert (await desk.says(await desk.people.add(BO), "reject", reason="I never asked for this")).closes
    assert not await desk.performed()


async def test_the_code_of_another_approval_is_refused(asks: Asks) -> None:
    desk, other = await asks(), await asks()
    assert "not the code" in await desk.refuses(await confirm(desk, code_for(other.call.run_id)))
    assert (await confirm(other, code_for(other.call.run_id))).closes
    assert await other.performed()


@pytest.mark.parametrize("verdict", ["edit", "respond", "reject"])
async def test_a_code_is_no_proof_for_another_verdict(asks: Asks, verdict: str) -> None:
    desk = await asks()
    receipt = await confirm(desk, code_for(desk.call.run_id), verdict=verdict, arguments={"to": ANN})
    assert "nobody has to confirm this with a code" in await desk.refuses(receipt)


async def test_where_nobody_has_to_confirm_a_code_is_no_answer(asks: Asks) -> None:
    desk = await asks(people=1, confirm=None)
    assert "nobody has to confirm" in await desk.refuses(await confirm(desk, "12345678"))


async def test_a_call_that_was_edited_to_be_about_someone_else_is_confirmed_by_them(asks: Asks) -> None:
    desk = await asks()
    before = code_for(desk.call.run_id)
    await desk.says(await desk.people.add(LEE), "edit", arguments={"to": ANN})
    new = await desk.anew()
    assert [person for person, _ in LETTERS[desk.call.run_id]] == [BO, ANN]
    assert "not the code" in refusal(await confirm(new, before))
    assert not await new.performed()
    assert (await confirm(new, code_for(desk.call.run_id), by=ANN)).closes
    assert await new.performed()


# ── bringing it ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_code_that_cannot_be_delivered_means_no_and_says_so(asks: Asks) -> None:
    door = (await asks()).door
    agent = await door.publish(
        "send", approvals={"deliver": DELIVER, "tools": {"send": {"confirm": "to", "people": 0}}}
    )
    run_id = await door.open(agent)
    UNREACHABLE.add(run_id)
    [call] = await door.plan(run_id, ("send", {"to": BO}))
    answer = await door.call(call)
    assert isinstance(answer, Refused)
    assert answer.rule == "approval.no-code"
    read = await door.value("SELECT content::text FROM transcript WHERE run_id = $1 AND kind = 'result'", run_id)
    assert f"could not be delivered to {BO}: the mail server is away" in read
    assert await door.value("SELECT state FROM approvals WHERE run_id = $1", run_id) == "withdrawn"
    UNREACHABLE.discard(run_id)
    assert (await door.call(call), call.happened) == (answer, 0)  # not a yes later on, either
    [again] = await door.plan(run_id, ("send", {"to": BO, "text": "again"}))
    assert isinstance(await door.call(again), NeedsApproval)  # the model asked anew, and so are people


async def test_a_code_that_could_not_be_stored_is_worth_nothing_and_another_is_sent(
    asks: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, row = (await asks()).door, Query.row
    away = {GATEWAY["new_code"].name}

    async def once_away(query: Query, *given: Any, **columns: Any) -> Any:
        if query.name in away:
            away.clear()
            raise StoreUnavailable("Postgres is away")
        return await row(query, *given, **columns)

    agent = await door.publish(
        "send", approvals={"deliver": DELIVER, "tools": {"send": {"confirm": "to", "people": 0}}}
    )
    call = await door.one(agent, "send", to=BO)
    monkeypatch.setattr(Query, "row", once_away)
    with pytest.raises(StoreUnavailable):
        await door.call(call)
    first = code_for(call.run_id)
    desk = await (await asks()).anew(call)
    assert len(LETTERS[call.run_id]) == 2
    assert "not the code" in refusal(await confirm(desk, first))
    assert (await confirm(desk, code_for(call.run_id))).closes
    assert await desk.performed()


# ── where it lies about ─────────────────────────────────────────────────────────────────────────────────────────────


async def holding(desk: Desk, text: str) -> list[str]:
    """The tables in which some row, whatever its columns, holds this text."""
    names = await desk.door.rows("SELECT relname FROM pg_stat_user_tables")
    return [
        name
        for (name,) in names
        if await desk.door.value(f'SELECT bool_or(t::text LIKE $1) FROM "{name}" t', f"%{text}%")
    ]


async def test_a_code_stands_nowhere_in_the_database_before_or_after_it_was_used(asks: Asks) -> None:
    desk = await asks()
    code = code_for(desk.call.run_id)
    assert {"calls", "approvals", "transcript"} <= set(await holding(desk, BO))  # the search does find things
    assert await holding(desk, code) == []
    await confirm(desk, another_code(code))
    await confirm(desk, code)
    assert await desk.performed()
    assert await holding(desk, code) == await holding(desk, another_code(code)) == []


async def test_a_code_that_still_opens_something_stands_nowhere_in_temporals_history(stanchion: Stanchion) -> None:
    turns = [{"tools": [{"name": "send", "input": {"to": BO}}]}, {"text": "done"}]
    rules = {"deliver": DELIVER, "tools": {"send": {"confirm": "to", "people": 0}}}
    handle = await stanchion.start(await stanchion.publish(turns, "send", approvals=rules))
    approval = await stanchion.approval(handle)
    code = code_for(handle.id)

    async def in_history(text: str) -> bool:
        return any([text.encode() in event.SerializeToString() async for event in handle.fetch_history_events()])

    assert await in_history(approval["approval_id"])  # the search does find things
    assert not await in_history(code)
    assert (await stanchion.decide(handle, "approve", by=BO, code=code))["answer"] == "accepted"
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert WITNESS[f"{handle.id}/1.0"] == 1
