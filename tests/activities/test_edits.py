"""An edit never makes one person's yes do for a call that takes more: it is asked about anew, on its own terms."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from activities.policy.cedar.store import SQL as POLICIES
from activities.policy.cedar.store import version_of
from tests.harness.door import Call, Door
from tests.harness.outcomes import done
from tests.harness.people import DELIVER
from workflows.contracts.calls import NeedsApproval, Refused

PERMIT = "permit (principal, action, resource);"
SMALL = {"to": "4711-0815", "cents": 900}
LARGE = {"to": "4711-0815", "cents": 999_000}


@pytest_asyncio.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    """The worker; up to 50.00 a payment is T3."""
    made = Door.make(database_url)
    version = version_of("acme", PERMIT, 5_000)
    await POLICIES["put"].row(
        made.parts.database, version=version, scope="acme", text=PERMIT, money_floor=5_000, by="the test"
    )
    yield made
    await made.close()


async def small_payment(door: Door, **rule: Any) -> tuple[Call, NeedsApproval]:
    """A payment about which one person is asked."""
    agent = await door.publish("pay", approvals={"tools": {"pay": rule}})
    call = await door.one(agent, "pay", goal="Pay account 4711-0815 its 9.00.", **SMALL)
    asked = await door.asked(call)
    assert (asked.tier, await needed(door, asked)) == ("T3", 1)
    return call, asked


async def needed(door: Door, asked: NeedsApproval) -> int:
    return int(await door.value("SELECT needed FROM approvals WHERE approval_id = $1", asked.approval_id))


async def test_one_person_edits_no_small_payment_into_a_large_one(door: Door) -> None:
    call, asked = await small_payment(door)
    await door.decide(asked, call.run_id, "edit", arguments=LARGE)
    anew = await door.asked(call)
    assert (anew.tier, await needed(door, anew), call.happened) == ("T4", 2, 0)
    assert (await door.decide(anew, call.run_id)).answer == "already decided"
    assert (await door.decide(anew, call.run_id, by="kim")).closes
    assert done(await door.call(call))
    assert call.happened == 1


async def test_one_person_edits_a_small_payment_into_another_small_one(door: Door) -> None:
    call, asked = await small_payment(door)
    await door.decide(asked, call.run_id, "edit", arguments=SMALL | {"cents": 800})
    assert done(await door.call(call))


async def test_an_edit_of_whom_it_is_about_is_confirmed_by_the_other_one(door: Door) -> None:
    rule = {"people": 1, "confirm": "account"}
    agent = await door.publish(
        "unlock", module="tests.activities.launderers", approvals={"deliver": DELIVER, "tools": {"unlock": rule}}
    )
    call = await door.one(agent, "unlock", what="the door", account="bo@acme.example")
    asked = await door.asked(call)
    await door.decide(asked, call.run_id, "edit", arguments={"what": "the door", "account": "zoe@acme.example"})
    anew = await door.asked(call)
    subject = await door.value("SELECT subject FROM approvals WHERE approval_id = $1", anew.approval_id)
    assert (subject, call.happened) == ("zoe@acme.example", 0)


@pytest.mark.parametrize("account", ["", "  "])
async def test_an_edit_that_takes_away_whom_it_is_about_is_refused(door: Door, account: str) -> None:
    agent = await door.publish(
        "unlock",
        module="tests.activities.launderers",
        approvals={"deliver": DELIVER, "tools": {"unlock": {"people": 0, "confirm": "account"}}},
    )
    call = await door.one(agent, "unlock", what="the door", account="bo@acme.example")
    asked = await door.asked(call)
    await door.decide(asked, call.run_id, "edit", arguments={"what": "the door", "account": account})
    answer = await door.call(call)
    assert isinstance(answer, Refused)
    assert (answer.rule, answer.correctable, call.happened) == ("approval.no-subject", False, 0)


@pytest.mark.parametrize("account", ["", " \t"])
async def test_a_call_that_names_nobody_to_confirm_it_is_refused_and_asked_of_nobody(door: Door, account: str) -> None:
    agent = await door.publish(
        "unlock",
        module="tests.activities.launderers",
        approvals={"deliver": DELIVER, "tools": {"unlock": {"people": 0, "confirm": "account"}}},
    )
    call = await door.one(agent, "unlock", what="the door", account=account)
    answer = await door.call(call)
    assert isinstance(answer, Refused)
    assert (answer.rule, answer.correctable) == ("approval.no-subject", True)
    assert await door.value("SELECT count(*) FROM approvals WHERE run_id = $1", call.run_id) == 0
