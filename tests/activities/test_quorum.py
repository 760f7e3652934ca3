"""Who has to say yes: N of M distinct people with the roles asked for, none of them the requester. The gateway counts.

The test plays the workflow. Refused means: with a reason, nothing is stored, and the call is still not performed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from activities.identity.signatures import new_key
from tests.harness.door import Door
from tests.harness.people import Desk, Person, refusal
from workers.keys import Signer
from workflows.contracts.approvals import Decision, DecisionReceipt
from workflows.contracts.calls import Refused

TO_BO = {"to": "bo@acme.example"}
TO_ANN = {"to": "ann@acme.example"}
LEE, KIM, MAX, ANA = (f"{name}@acme.example" for name in ("lee", "kim", "max", "ana"))
SPELLINGS = (LEE, "Lee@Acme.Example", "  lee@acme.example ", "LEE@ACME.EXAMPLE", "\uff4cee@acme.example")
HIDING = ("lee\u200b@acme.example", "\u202elee@acme.example", "le\u00ade@acme.example", "lee\u3164@acme.example")


Asks = Callable[..., Awaitable[Desk]]


@pytest_asyncio.fixture
async def asks(database_url: str) -> AsyncIterator[Asks]:
    """`await asks(people=2, roles=[…])`: a call about which that rule has people asked."""
    door = Door.make(database_url)

    async def ask(requester: str = ANA, tool: str = "send", arguments: dict[str, Any] = TO_BO, **rule: Any) -> Desk:
        return await Desk.open(door, tool, arguments, requester, **rule)

    yield ask
    await door.close()


# ── how many ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_as_many_distinct_people_as_the_rule_says_have_to_say_yes(asks: Asks) -> None:
    desk = await asks(people=3)
    everyone = [await desk.people.add(name) for name in (LEE, KIM, MAX)]
    for said, person in enumerate(everyone[:2], start=1):
        receipt = await desk.says(person)
        assert (receipt.answer, receipt.closes) == ("accepted", False)
        assert f"{said} of 3 people said yes" in receipt.reason
        assert not await desk.performed()
    assert (await desk.says(everyone[2])).closes
    assert await desk.performed()
    assert await desk.shown("approved_by") == [LEE, KIM, MAX]


async def test_what_moves_money_takes_two_people_though_the_rule_says_one(asks: Asks) -> None:
    desk = await asks(tool="pay", arguments={"to": "4711-0815", "cents": 500}, people=1)
    assert not (await desk.says(await desk.people.add(LEE))).closes
    assert not await desk.performed()
    assert (await desk.says(await desk.people.add(KIM))).closes
    assert await desk.performed()


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("signed", [True, False])
async def test_one_person_counts_once_however_they_spell_themselves(asks: Asks, spelling: str, signed: bool) -> None:
    desk = await asks(people=2)
    lee = await desk.people.add(LEE)
    assert (await desk.says(lee)).answer == "accepted"
    again = lee.decision(desk.asked.approval_id, await desk.shown("digest"), by=spelling)
    if not signed:
        again |= {"key": None, "signature": None}
    receipt = await desk.send(again)
    assert (receipt.answer, receipt.closes) == ("already decided", False)
    assert (await desk.shown("approved_by"), await desk.decisions()) == ([LEE], 1)
    assert not await desk.performed()


@pytest.mark.parametrize("spelling", HIDING)
@pytest.mark.parametrize("known", [True, False])
async def test_a_name_with_characters_that_do_not_show_is_refused(asks: Asks, spelling: str, known: bool) -> None:
    desk = await asks(people=2)
    lee = await desk.people.add(LEE) if known else Person(LEE)
    reason = await desk.refuses(await desk.says(lee, by=spelling))
    assert "which does not show" in reason and spelling not in reason
    desk.door.parts.approvals._authority._accept_unsigned = True
    unsigned = lee.decision(desk.asked.approval_id, None, by=spelling) | {"key": None, "signature": None}
    assert "which does not show" in await desk.refuses(await desk.send(unsigned))


async def test_two_people_at_the_same_moment_both_count_exactly_once(asks: Asks) -> None:
    desk = await asks(people=2)
    both = [await desk.people.add(name) for name in (LEE, KIM)]
    receipts = await asyncio.gather(*(desk.says(person) for person in both))
    assert [receipt.answer for receipt in receipts] == ["accepted", "accepted"]
    assert sorted(receipt.closes for receipt in receipts) == [False, True]
    assert (sorted(await desk.shown("approved_by")), await desk.decisions()) == ([KIM, LEE], 2)
    assert await desk.performed()


async def test_twenty_answers_of_one_person_at_the_same_moment_are_one(asks: Asks) -> None:
    desk = await asks(people=2)
    lee = await desk.people.add(LEE)
    receipts = await asyncio.gather(*(desk.says(lee, by=SPELLINGS[n % len(SPELLINGS)]) for n in range(20)))
    assert sorted({(receipt.answer, receipt.closes) for receipt in receipts}) == [
        ("accepted", False),
        ("already decided", False),
    ]
    assert [receipt.answer for receipt in receipts].count("accepted") == 1
    assert (await desk.shown("approved_by"), await desk.decisions()) == ([LEE], 1)
    assert not await desk.performed()


async def test_one_no_ends_it_and_the_model_reads_why(asks: Asks) -> None:
    desk = await asks(people=2)
    lee, kim, other = [await desk.people.add(name) for name in (LEE, KIM, MAX)]
    await desk.says(lee)
    assert (await desk.says(kim, "reject", reason="bo has left")).closes
    assert "was answered with 'reject'" in refusal(await desk.says(other))
    answer = await desk.door.call(desk.call)
    assert isinstance(answer, Refused)
    assert answer.rule == "approval.rejected"
    read = await desk.door.value("SELECT content::text FROM transcript WHERE kind = 'result'")
    assert f"{KIM} rejected it: bo has left" in read
    assert desk.call.happened == 0


# ── an edit by one of several ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_edit_by_one_of_two_is_asked_about_anew_with_the_editors_yes_counted(asks: Asks) -> None:
    desk = await asks(people=2)
    lee, kim = [await desk.people.add(name) for name in (LEE, KIM)]
    before = await desk.shown("digest")
    assert (await desk.says(lee, "edit", arguments=TO_ANN)).answer == "accepted"
    new = await desk.anew()
    assert (await desk.shown("state"), await new.shown("supersedes")) == ("superseded", desk.asked.approval_id)
    assert await new.shown("arguments::text") == '{"to":"ann@acme.example"}'
    assert await new.shown("approved_by") == [LEE]
    assert "is superseded" in refusal(await desk.says(kim))
    assert "another call than the one" in refusal(await new.send(kim.decision(new.asked.approval_id, before)))
    assert "someone else has to see them" in refusal(await new.says(lee))
    assert not await new.performed()
    assert (await new.says(kim)).closes
    assert await new.performed()
    assert "sent to ann@acme.example" in await desk.door.value(
        "SELECT content::text FROM transcript WHERE kind = 'result'"
    )


async def test_a_yes_to_what_was_there_before_the_edit_is_no_yes_to_the_edit(asks: Asks) -> None:
    desk = await asks(people=3)
    lee, kim, other = [await desk.people.add(name) for name in (LEE, KIM, MAX)]
    await desk.says(kim)
    await desk.says(lee, "edit", arguments=TO_ANN)
    new = await desk.anew()
    assert await new.shown("approved_by") == [LEE]
    assert not (await new.says(other)).closes
    assert not await new.performed()
    assert (await new.says(kim)).closes  # kim has seen the new arguments by now
    assert await new.performed()


# ── who ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "requester",
    [
        "ana@acme.example",
        "Ana@ACME.example",
        " ANA@acme.example  ",
        "\uff41na@acme.example",
        "ana\u200b@acme.example",
        "a\u202ena@acme.example",
    ],
)
@pytest.mark.parametrize("verdict", ["approve", "edit", "respond"])
async def test_who_asked_for_the_run_never_decides_in_any_spelling(asks: Asks, requester: str, verdict: str) -> None:
    desk = await asks(requester=requester)
    ana = await desk.people.add(ANA, "it-admin")
    receipt = await desk.says(ana, verdict, by=" aNa@acme.example", arguments=TO_ANN if verdict == "edit" else None)
    assert "never approves it" in await desk.refuses(receipt)


async def test_who_asked_for_the_run_does_not_decide_by_composing_their_name_otherwise(asks: Asks) -> None:
    desk = await asks(requester="jose\u0301@acme.example")
    jose = await desk.people.add("jos\u00e9@acme.example")
    for by in ("jos\u00e9@acme.example", "jose\u0301@acme.example"):
        assert "never approves it" in await desk.refuses(await desk.says(jose, by=by))


async def test_only_people_with_one_of_the_roles_count(asks: Asks) -> None:
    desk = await asks(roles=["it-admin", "it-lead"])
    await desk.people.principals.add("beta", LEE, ["it-admin"], None, "test")  # a role elsewhere is none here
    for name, roles in ((LEE, ["sales"]), (KIM, [])):
        receipt = await desk.says(await desk.people.add(name, *roles))
        assert f"only it-admin or it-lead may decide about this; {name} has no such role" in await desk.refuses(receipt)
    assert (await desk.says(await desk.people.add(MAX, "sales", "it-lead"))).closes
    assert await desk.performed()


async def test_after_a_while_the_second_group_may_decide_and_not_before(asks: Asks) -> None:
    desk = await asks(people=2, roles=["it-admin"], escalate={"after_minutes": 30, "roles": ["it-lead"]})
    lee, kim = await desk.people.add(LEE, "it-admin"), await desk.people.add(KIM, "it-lead")
    assert "only it-admin may decide" in await desk.refuses(await desk.says(kim))
    await desk.set("escalates_at = now()")
    assert (await desk.says(kim)).answer == "accepted"
    assert (await desk.says(lee)).closes
    assert await desk.performed()


async def test_escalation_adds_people_and_keeps_nobody_out(asks: Asks) -> None:
    desk = await asks(escalate={"after_minutes": 30, "roles": ["it-lead"]})
    await desk.set("escalates_at = now()")
    assert (await desk.says(await desk.people.add(LEE))).closes  # anyone might have decided before


# ── who is revoked since ────────────────────────────────────────────────────────────────────────────────────────────


async def revoke_the_person(desk: Desk, person: Person) -> None:
    await desk.people.principals.revoke("acme", person.name)


async def revoke_the_person_everywhere(desk: Desk, person: Person) -> None:
    await desk.people.principals.add("*", person.name, [], None, "test")
    await desk.people.principals.revoke("*", person.name)


async def revoke_the_key(desk: Desk, person: Person) -> None:
    await desk.people.principals.revoke_key(person.signer.key_id)


Revokes = Callable[[Desk, Person], Awaitable[None]]
revokes = pytest.mark.parametrize("revoke", [revoke_the_person, revoke_the_person_everywhere, revoke_the_key])


@revokes
async def test_a_yes_of_someone_revoked_since_counts_no_more(asks: Asks, revoke: Revokes) -> None:
    desk = await asks(people=2)
    lee, kim, other = [await desk.people.add(name) for name in (LEE, KIM, MAX)]
    await desk.says(lee)
    await revoke(desk, lee)
    assert await desk.shown("approved_by") == []
    receipt = await desk.says(kim)
    assert (receipt.closes, receipt.reason) == (False, "1 of 2 people said yes")
    assert not await desk.performed()
    assert (await desk.says(other)).closes
    assert await desk.performed()
    assert await desk.shown("approved_by") == [KIM, MAX]


@pytest.mark.parametrize("what", ["principals", "keys"])
async def test_a_yes_that_came_in_while_its_giver_was_revoked_is_not_counted_by_the_next(asks: Asks, what: str) -> None:
    desk = await asks(people=2)
    lee, kim = [await desk.people.add(name) for name in (LEE, KIM)]
    await desk.says(lee)
    who = {"principals": "name", "keys": "principal"}[what]  # nobody struck the yes: the row alone is changed
    await desk.door.execute(f"UPDATE {what} SET revoked_at = now() WHERE {who} = '{LEE}'")
    assert not (await desk.says(kim)).closes
    assert (await desk.shown("approved_by"), await desk.performed()) == ([KIM], False)


@revokes
@pytest.mark.parametrize("verdict", ["approve", "edit"])
async def test_an_approval_that_was_given_but_not_used_ends_with_its_giver(
    asks: Asks, revoke: Revokes, verdict: str
) -> None:
    desk = await asks(people=1)
    lee = await desk.people.add(LEE)
    assert (await desk.says(lee, verdict, arguments=TO_ANN if verdict == "edit" else None)).closes
    await revoke(desk, lee)
    assert not await desk.performed()
    assert await desk.shown("state") == "withdrawn"


@revokes
async def test_an_editors_yes_to_their_edit_ends_with_them(asks: Asks, revoke: Revokes) -> None:
    desk = await asks(people=2)
    lee, kim = [await desk.people.add(name) for name in (LEE, KIM)]
    await desk.says(lee, "edit", arguments=TO_ANN)
    new = await desk.anew()
    await revoke(new, lee)
    assert not (await new.says(kim)).closes
    assert (await new.shown("approved_by"), await new.performed()) == ([KIM], False)


@revokes
async def test_what_was_performed_on_their_yes_stays_as_it_was(asks: Asks, revoke: Revokes) -> None:
    desk = await asks(people=1)
    lee = await desk.people.add(LEE)
    await desk.says(lee)
    assert await desk.performed()
    await revoke(desk, lee)
    assert (await desk.shown("state"), await desk.shown("approved_by")) == ("approve", [LEE])
    assert await desk.performed()


async def test_a_revocation_elsewhere_or_of_another_key_takes_no_yes_away(asks: Asks) -> None:
    desk = await asks(people=2)
    lee, kim = [await desk.people.add(name) for name in (LEE, KIM)]
    spare, elsewhere = Signer.of(new_key()), await desk.people.add(LEE, tenant="beta")
    await desk.people.principals.add_key(spare.public, "person", "acme", LEE, "test")
    await desk.says(lee)
    await desk.people.principals.revoke_key(spare.key_id)
    await desk.people.principals.revoke("beta", elsewhere.name)
    assert (await desk.says(kim)).closes
    assert await desk.performed()


# ── what does not count ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_the_expiry_no_answer_counts(asks: Asks) -> None:
    desk = await asks()
    lee = await desk.people.add(LEE)
    await desk.set("expires_at = now()")
    receipt = await desk.says(lee)
    assert (receipt.answer, receipt.reason) == ("expired", "it expired before this decision came")
    answer = await desk.door.call(desk.call)
    assert isinstance(answer, Refused)
    assert (answer.rule, desk.call.happened, await desk.decisions()) == ("approval.expired", 0, 0)


async def of_another_tenant(desk: Desk) -> DecisionReceipt:
    return await desk.says(await desk.people.add(LEE, tenant="beta"))


async def by_a_revoked_person(desk: Desk) -> DecisionReceipt:
    lee, surface = await desk.people.add(LEE), await desk.people.surface()
    await desk.people.principals.revoke("acme", LEE)
    return await desk.says(Person(lee.name, surface))


async def with_a_revoked_key(desk: Desk) -> DecisionReceipt:
    lee = await desk.people.add(LEE)
    await desk.people.principals.revoke_key(lee.signer.key_id)
    return await desk.says(lee)


async def with_a_key_nobody_registered(desk: Desk) -> DecisionReceipt:
    await desk.people.add(LEE)
    return await desk.says(Person(LEE, Signer.of(new_key())))


async def for_someone_else(desk: Desk) -> DecisionReceipt:
    await desk.people.add(KIM)
    return await desk.says(await desk.people.add(LEE), by=KIM)


async def replayed_from_another_approval(desk: Desk) -> DecisionReceipt:
    said = (await desk.people.add(LEE)).decision("ap-other", await desk.shown("digest"))
    return await desk.send(said | {"approval_id": desk.asked.approval_id})


async def from_before_it_was_asked(desk: Desk) -> DecisionReceipt:
    return await desk.says(await desk.people.add(LEE), at=datetime.now(UTC) - timedelta(minutes=10))


async def from_the_future(desk: Desk) -> DecisionReceipt:
    return await desk.says(await desk.people.add(LEE), at=datetime.now(UTC) + timedelta(minutes=10))


async def about_a_digest_of_another_call(desk: Desk) -> DecisionReceipt:
    return await desk.send((await desk.people.add(LEE)).decision(desk.asked.approval_id, "0" * 64))


async def without_a_digest(desk: Desk) -> DecisionReceipt:
    return await desk.send((await desk.people.add(LEE)).decision(desk.asked.approval_id, None))


async def about_no_approval(desk: Desk) -> DecisionReceipt:
    return await desk.send((await desk.people.add(LEE)).decision("ap-none", await desk.shown("digest")))


async def about_an_approval_of_another_run(desk: Desk) -> DecisionReceipt:
    said = (await desk.people.add(LEE)).decision(desk.asked.approval_id, await desk.shown("digest"))
    return await desk.send(said, run_id="agent/other/run")


WRONG: dict[Callable[[Desk], Awaitable[DecisionReceipt]], str] = {
    of_another_tenant: "is of another tenant",
    by_a_revoked_person: "is revoked",
    with_a_revoked_key: "is revoked",
    with_a_key_nobody_registered: "is not registered",
    for_someone_else: "signs for nobody else",
    replayed_from_another_approval: "changed after it was signed",
    from_before_it_was_asked: "a replay",
    from_the_future: "signed in the future",
    about_a_digest_of_another_call: "another call than the one that is asked",
    without_a_digest: "names the digest",
    about_no_approval: "no such approval",
    about_an_approval_of_another_run: "no such approval",
}


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: answer.__name__)
async def test_an_answer_is_refused_with_a_reason_that_is(
    asks: Asks, answer: Callable[[Desk], Awaitable[DecisionReceipt]]
) -> None:
    desk = await asks()
    assert WRONG[answer] in await desk.refuses(await answer(desk))


@pytest.mark.parametrize(
    "field", [{"reason": "x" * 4_001}, {"arguments": {"to": "x" * 256_000}}, {"by": "x" * 321}, {"repeat": 101}]
)
def test_an_over_long_decision_is_not_read_at_all(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        Decision.model_validate({"approval_id": "ap-1", "verdict": "edit", "by": LEE, **field})
