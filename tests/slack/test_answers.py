"""Answers given in Slack, over real HTTP and WebSockets, on a real Stanchion: what people see and do."""

import json

from activities.identity.signatures import verify
from activities.identity.statements import decision_statement
from tests.fakes.slack_api import FakeSlack, Message
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS
from tests.slack.channel import (
    Starts,
    asking,
    card_of,
    decisions_sent,
    form,
    hears,
    registered,
    shows,
    state_of,
)
from workflows.contracts.approvals import Decision


async def test_an_approval_given_in_slack_performs_the_call_once_and_the_card_says_who(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion, requester="ana@acme.example")
    card = await card_of(slack, handle)
    assert card.buttons.keys() == {"approve", "edit", "deny", "run"}
    for text in ("send", "T3", "bo@acme.example", "ana@acme.example", handle.id, "Cost so far", "Expires"):
        assert text in card.shown
    assert card.buttons["run"]["url"].endswith(handle.id.replace("/", "%2F"))
    assert (card.body["unfurl_links"], card.body["unfurl_media"]) == (False, False)
    await slack.click(card, "approve")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert WITNESS[f"{handle.id}/1.0"] == 1
    await shows(card, "by lee at ")
    assert card.shown.startswith("Approved: send")
    assert card.buttons.keys() == {"run"}
    assert slack.ephemerals == []


async def test_a_denial_carries_its_reason_to_the_model_and_onto_the_card(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion)
    card = await card_of(slack, handle)
    await slack.click(card, "deny")
    assert (await slack.submit(await form(slack), "   "))["errors"]  # nothing said
    await slack.submit(await form(slack), "bo has left the company")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert "bo has left the company" in (await stanchion.results(handle.id))["1.0"]
    assert WITNESS[f"{handle.id}/1.0"] == 0
    await shows(card, "because: bo has left the company")
    assert card.shown.startswith("Denied: send")


async def test_an_edit_performs_the_call_with_what_was_typed(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion, {"to": "bo@acme.example", "text": "a\u202eb"})
    card = await card_of(slack, handle)
    await slack.click(card, "edit")
    opened = await form(slack)
    prefilled = next(b["element"]["initial_value"] for b in opened.view["blocks"] if b["type"] == "input")
    assert "\\u202e" in prefilled and json.loads(prefilled) == {"to": "bo@acme.example", "text": "a\u202eb"}
    assert "not valid JSON" in (await slack.submit(opened, '{"to": '))["errors"]["typed"]
    await slack.submit(opened, '{"to": "cy@acme.example"}')
    await stanchion.outcome(handle)
    assert "sent to cy@acme.example" in (await stanchion.results(handle.id))["1.0"]
    await shows(card, "Performed with")
    assert "cy@acme.example" in card.shown


async def test_what_is_decided_elsewhere_shows_on_the_card(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts
) -> None:
    await bots()
    handle = await asking(stanchion)
    card = await card_of(slack, handle)
    await stanchion.decide(handle, "reject", by="kim", reason="not today")
    await shows(card, "by kim at ")
    assert "not today" in card.shown and card.buttons.keys() == {"run"}


async def test_a_call_that_is_not_wanted_any_more_leaves_no_buttons(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion)
    card = await card_of(slack, handle)
    stale = Message(card.channel, card.ts, card.body)
    await handle.signal("halt", {"by": "kim"})
    await shows(card, "Withdrawn")
    assert card.buttons.keys() == {"run"}
    await slack.click(stale, "approve")  # by someone whose Slack had not caught up
    await hears(slack, "ULEE", "settled already")


async def test_who_is_not_registered_decides_nothing_and_learns_what_to_ask_for(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion)
    await slack.click(await card_of(slack, handle), "approve", user="UMALLORY")
    await hears(slack, "UMALLORY", "stanchion principals add")
    assert await state_of(stanchion, handle) == "open"
    assert await decisions_sent(handle) == []


async def test_a_revoked_person_decides_nothing(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion)
    await stanchion.rows("UPDATE principals SET revoked_at = now() WHERE name = 'lee'")
    await slack.click(await card_of(slack, handle), "approve")
    await hears(slack, "ULEE", "Nobody is registered")
    assert await decisions_sent(handle) == []


async def test_a_user_of_another_workspace_decides_nothing(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion)
    await slack.click(await card_of(slack, handle), "approve", team="T0ELSEWHERE")
    await hears(slack, "ULEE", "another workspace")
    assert await decisions_sent(handle) == []


async def test_the_requester_is_told_why_their_own_yes_does_not_count(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion, requester="lee")
    card = await card_of(slack, handle)
    await slack.click(card, "approve")
    await hears(slack, "ULEE", "Not allowed")
    assert await state_of(stanchion, handle) == "open"
    assert "approve" in card.buttons


async def test_a_card_of_an_older_call_approves_nothing(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion)
    card = await card_of(slack, handle)
    await stanchion.rows("UPDATE approvals SET digest = $1 WHERE run_id = $2", "f" * 64, handle.id)
    await slack.click(card, "approve")
    await hears(slack, "ULEE", "an earlier version of the call")
    assert await state_of(stanchion, handle) == "open"
    assert await decisions_sent(handle) == []


async def test_answers_are_signed_and_bound_to_what_the_card_showed(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    signer = await registered(stanchion)
    await bots(signer=signer)
    handle = await asking(stanchion)
    await slack.click(await card_of(slack, handle), "approve")
    sent = await eventually(lambda: decisions_sent(handle), "a decision arrives")
    decision = Decision.model_validate(sent[0])
    assert decision.digest == await stanchion.value("SELECT digest FROM approvals WHERE run_id = $1", handle.id)
    assert verify(signer.public, decision_statement(decision), decision.signature or "")
    forged = decision.model_copy(update={"digest": "0" * 64})
    assert not verify(signer.public, decision_statement(forged), decision.signature or "")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert WITNESS[f"{handle.id}/1.0"] == 1
