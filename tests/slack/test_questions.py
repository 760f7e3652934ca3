"""Other questions in Slack: doubts, values to restate, codes, several people; and nothing that renders."""

import json
from typing import Any

from temporalio.api.enums.v1 import EventType

from activities.identity.signatures import verify
from activities.identity.statements import message_statement
from tests.fakes.slack_api import FakeSlack
from tests.harness.checks import events
from tests.harness.stanchion import Stanchion, eventually
from tests.slack.channel import (
    Starts,
    as_seen,
    asking,
    card_of,
    decisions_sent,
    form,
    hears,
    registered,
    shows,
)
from workflows.contracts.messages import MessageReceived


async def test_an_effect_in_doubt_is_resolved_in_slack(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    call = {"tools": [{"name": "fails_somehow", "input": {}}]}
    handle = await stanchion.start(await stanchion.publish([call, {"text": "done"}], "fails_somehow"))
    card = await card_of(slack, handle)
    assert card.buttons.keys() == {"happened", "did-not", "stop", "run"}
    assert "confirm" in card.buttons["did-not"]  # it may be performed again
    await slack.click(card, "happened")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    await shows(card, "It happened: by lee")


async def test_a_refused_value_is_restated_by_typing_it_into_an_empty_form(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    signer = await registered(stanchion)
    await bots(signer=signer)
    handle = await asking(stanchion)
    value = "eve@elsewhere.example"
    await stanchion.rows(
        "INSERT INTO approvals"
        " (approval_id, run_id, call_id, about, tool, tier, arguments, digest, rule, reason, origins)"
        " VALUES ('ap-endorse', $1, '9.0', 'endorse', 'send', 'T3', $2, $3, 'provenance', 'of untrusted origin', $4)",
        handle.id,
        json.dumps({"to": value}),
        "d" * 64,
        json.dumps([{"argument": "to", "kind": "recipient", "value": value, "origin": "untrusted"}]),
    )
    posted = lambda: as_seen(next((m for m in slack.messages if "ap-endorse" in m.shown), None))  # noqa: E731
    card = await eventually(posted, "a card")
    assert card is not None and "UNTRUSTED" in card.shown
    assert card.buttons.keys() == {"restate", "run"}  # no yes to click
    await slack.click(card, "restate")
    opened = await form(slack)
    field = next(block for block in opened.view["blocks"] if block["type"] == "input")
    assert not {"initial_value", "placeholder"} & field["element"].keys()
    assert value not in json.dumps(opened.view)
    await slack.submit(opened, value)
    await hears(slack, "ULEE", "Sent as your own word")
    accepted = await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
    updates = [event.workflow_execution_update_accepted_event_attributes for event in accepted]
    asked = updates[-1].accepted_request.input
    message = MessageReceived.model_validate(json.loads(asked.args.payloads[0].data))
    assert (asked.name, message.endorses, message.by) == ("tell", value, "lee")
    assert verify(signer.public, message_statement(handle.id, message), message.signature or "")


async def test_the_subject_confirms_with_a_code_and_a_card_that_waits_for_that_alone_has_no_yes(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    handle = await asking(stanchion)
    await stanchion.rows("UPDATE approvals SET subject = 'lee', needed = 0 WHERE run_id = $1", handle.id)
    await bots()
    card = await card_of(slack, handle)
    assert {"code", "deny"} <= card.buttons.keys() and "approve" not in card.buttons
    await slack.click(card, "code", user="UANN")
    await hears(slack, "UANN", "Only lee can confirm this")
    await slack.click(card, "code")
    await slack.submit(await form(slack), " 481-516 ")
    sent = await eventually(lambda: decisions_sent(handle), "a decision arrives")
    assert (sent[0]["verdict"], sent[0]["by"], sent[0]["code"]) == ("approve", "lee", "481-516")


async def test_the_card_shows_who_of_several_has_approved_already(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts
) -> None:
    handle = await asking(stanchion)
    await stanchion.rows("UPDATE approvals SET needed = 2, roles = '{it-admin}' WHERE run_id = $1", handle.id)
    await bots()
    card = await card_of(slack, handle)
    assert "People needed: 2, one of: it-admin" in card.shown
    await stanchion.rows("UPDATE approvals SET approved_by = '{ann}' WHERE run_id = $1", handle.id)
    await shows(card, "Approved already by")
    assert "approve" in card.buttons


async def test_an_approval_that_escalates_is_posted_to_the_second_channel_too_and_both_cards_follow(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots(escalation_channel="C0MANAGERS")
    handle = await asking(stanchion)
    first = await card_of(slack, handle)
    assert [m.channel for m in slack.messages] == ["C0ASKS"]
    await stanchion.rows(
        "UPDATE approvals SET escalates_at = now(), escalate_roles = '{manager}' WHERE run_id = $1", handle.id
    )
    second = await card_of(slack, handle, "C0MANAGERS")
    await shows(first, "Escalated")
    await stanchion.rows("UPDATE principals SET roles = '{manager}' WHERE name = 'ann'")
    await slack.click(second, "approve", user="UANN")
    for card in (first, second):
        await shows(card, "by ann at ")


TRICKS = "<https://evil.example|x> <!channel> <@U1> <#C1> :tada: ![](https://evil.example/a.png) ``` *b* &lt; @here"


async def test_nothing_that_a_model_writes_renders_and_nothing_in_it_stays_hidden(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts
) -> None:
    await bots()
    handle = await asking(stanchion, {"to": "bo\u202e@acme.example", "text": f"{TRICKS} \u200b\ufeff\x07"})
    card = await card_of(slack, handle)
    whole = json.dumps(card.body, ensure_ascii=False)
    assert not any(hidden in whole for hidden in "\u202e\u200b\ufeff")
    for name in ("<U+202E>", "<U+200B>", "<U+FEFF>"):
        assert name in card.shown
    assert TRICKS in card.shown  # letter by letter
    assert "evil" not in card.body["text"]
    written = [block for block in card.body["blocks"] if "evil" in json.dumps(block)]
    assert {block["type"] for block in written} == {"rich_text"}
    assert {element["type"] for block in written for part in block["elements"] for element in part["elements"]} == {
        "text"
    }
    assert "mrkdwn" not in {text.get("type") for text in _objects(card.body["blocks"])}


def _objects(value: Any) -> list[dict[str, Any]]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] * isinstance(value, dict) + [found for child in children for found in _objects(child)]
