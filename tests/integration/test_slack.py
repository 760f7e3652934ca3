"""The Slack bot against a local Slack, over real HTTP and WebSockets, on a real Stanchion: what people see and do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from activities.identity.principals import Principals
from activities.identity.signatures import new_key, verify
from activities.identity.statements import decision_statement, message_statement
from activities.storage.database import Database
from tests.fakes.slack_api import FakeSlack, Message, Opened, told
from tests.harness.checks import events
from tests.harness.stanchion import DEADLINE, Stanchion, eventually
from tests.harness.toolbox import WITNESS
from workers.keys import Signer
from workers.services.temporal import TemporalService
from workers.session import Session
from workers.slack.config import SlackMisconfigured, SlackSettings
from workers.slack.serve import SlackRefused, serve
from workflows.contracts.approvals import Decision
from workflows.contracts.messages import MessageReceived

Handle = WorkflowHandle[Any, Any]
Starts = Callable[..., Awaitable[str]]
BO = {"to": "bo@acme.example"}
REQUEST_ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


@pytest_asyncio.fixture
async def slack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSlack]:
    """A Slack of this test's own; what fails there is tried again soon."""
    monkeypatch.setattr("workers.slack.board.AGAIN_SECONDS", 0.2)
    monkeypatch.setattr("workers.slack.wake.AGAIN_SECONDS", 0.2)
    async with FakeSlack() as fake:
        yield fake


def settings_for(slack: FakeSlack, *, http: bool = False, **more: Any) -> SlackSettings:
    """Settings that lead to the fake."""
    way = {"signing_secret": slack.signing_secret} if http else {"app_token": slack.app_token}
    values = {"bot_token": slack.bot_token, "channel": "C0ASKS", "listen": "127.0.0.1:0", "api_url": slack.api_url}
    return SlackSettings(**{**values, **way, **more})


@pytest_asyncio.fixture
async def bots(client: Client, database_url: str, slack: FakeSlack) -> AsyncIterator[Starts]:
    """Starts replicas of the bot: `await bots(http=…, signer=…, poll_seconds=…, **settings)`; where clicks arrive."""
    stop, running, databases = asyncio.Event(), [], []

    async def start(signer: Signer | None = None, poll_seconds: float = 0.3, **more: Any) -> str:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        database = Database(database_url)
        databases.append(database)
        service = TemporalService("", "default", "http://127.0.0.1:8233", None, owned=False)
        work = serve(
            Session(client, database, service),
            settings_for(slack, **more),
            signer,
            stop,
            ready.set_result,
            poll_seconds=poll_seconds,
            ping_seconds=1,
        )
        running.append(asyncio.create_task(work))
        connected = slack.connected
        await asyncio.wait([running[-1], ready], timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            running.pop().result()
        if not more.get("http"):
            await eventually(lambda: _true(slack.connected > connected), "the bot is connected")
        return await ready

    yield start
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), DEADLINE)
    for database in databases:
        await database.close()


@pytest_asyncio.fixture
async def people(stanchion: Stanchion) -> None:
    """Lee and Ann, whose Slack users we know."""
    for name, user in (("lee", "ULEE"), ("ann", "UANN")):
        await stanchion.rows(
            "INSERT INTO principals (tenant, name, slack_user, added_by) VALUES ('default', $1, $2, 'test')", name, user
        )


async def _true(value: Any) -> Any:
    return value


async def asking(stanchion: Stanchion, arguments: dict[str, Any] | None = None, **request: Any) -> Handle:
    """A run that wants to send something, and waits for its approval."""
    call = {"tools": [{"name": "send", "input": arguments or BO}]}
    handle = await stanchion.start(await stanchion.publish([call, {"text": "done"}], "send"), **request)
    await stanchion.approval(handle)
    return handle


async def card_of(slack: FakeSlack, handle: Handle, channel: str = "C0ASKS") -> Message:
    """The card of a run, once there is one."""

    def found() -> Message | None:
        return next(
            (m for m in slack.messages if handle.id in m.shown and m.channel == channel and not m.deleted), None
        )

    return await eventually(lambda: _true(found()), f"a card of {handle.id}")  # type: ignore[return-value]


async def shows(card: Message, text: str) -> None:
    await eventually(lambda: _true(text in card.shown), f"the card shows {text!r}, not {card.shown}")


async def hears(slack: FakeSlack, user: str, text: str) -> None:
    """A person, and nobody else, is told something."""

    def look() -> bool:
        return any(text in told(said) for said in slack.ephemerals if said["user"] == user)

    await eventually(lambda: _true(look()), f"{user} is told {text!r}, not {slack.ephemerals}")


async def form(slack: FakeSlack, count: int = 1) -> Opened:
    await eventually(lambda: _true(len(slack.forms) >= count), "a form opens")
    return slack.forms[-1]


async def state_of(stanchion: Stanchion, handle: Handle) -> str:
    return str(await stanchion.value("SELECT state FROM approvals WHERE run_id = $1", handle.id))


async def registered(stanchion: Stanchion) -> Signer:
    """The bot's key, known as a surface's."""
    signer = Signer.of(new_key())
    await Principals(stanchion.parts.database).add_key(signer.public, "surface", "*", None, "test")
    return signer


async def decisions_sent(handle: Handle) -> list[dict[str, Any]]:
    """The decisions that reached the run, as they were on the wire."""
    accepted = await events(handle, REQUEST_ACCEPTED)
    found = [e.workflow_execution_update_accepted_event_attributes.accepted_request.input.args for e in accepted]
    return [json.loads(args.payloads[0].data) for args in found]


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    await hears(slack, "ULEE", "another call")
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


# ── other questions ─────────────────────────────────────────────────────────────────────────────────────────────────


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
    card = await eventually(lambda: _true(next((m for m in slack.messages if "ap-endorse" in m.shown), None)), "a card")
    assert card is not None and "UNTRUSTED" in card.shown
    assert card.buttons.keys() == {"restate", "run"}  # no yes to click
    await slack.click(card, "restate")
    opened = await form(slack)
    field = next(block for block in opened.view["blocks"] if block["type"] == "input")
    assert not {"initial_value", "placeholder"} & field["element"].keys()
    assert value not in json.dumps(opened.view)
    await slack.submit(opened, value)
    await hears(slack, "ULEE", "Sent as your own word")
    signals = [e.workflow_execution_signaled_event_attributes for e in await events(handle, SIGNALED)]
    message = MessageReceived.model_validate(json.loads(signals[-1].input.payloads[0].data))
    assert (signals[-1].signal_name, message.endorses, message.by) == ("message", value, "lee")
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
    await hears(slack, "UANN", "Only lee confirms this")
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


# ── nothing renders ─────────────────────────────────────────────────────────────────────────────────────────────────

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


# ── replicas, and everything that breaks ────────────────────────────────────────────────────────────────────────────


async def test_two_replicas_post_each_approval_once(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await asyncio.gather(bots(), bots())
    handles = [await asking(stanchion) for _ in range(4)]
    cards = [await card_of(slack, handle) for handle in handles]
    for handle, card in zip(handles, cards, strict=True):
        await slack.click(card, "approve")
        await stanchion.outcome(handle)
        await shows(card, "by lee at ")
    assert len(slack.messages) == 4
    owners = await stanchion.value("SELECT count(*) FROM slack_messages WHERE ts IS NOT NULL")
    assert owners == 4


async def test_what_another_replica_is_posting_is_left_to_it_until_it_has_been_gone_for_a_minute(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts
) -> None:
    taken, other = await asking(stanchion), await asking(stanchion)
    await stanchion.rows(
        "INSERT INTO slack_messages (approval_id, channel, owner)"
        " SELECT approval_id, 'C0ASKS', 'another' FROM approvals WHERE run_id = $1",
        taken.id,
    )
    await bots()
    await card_of(slack, other)  # newer, and posted: so the older one was passed over
    assert [taken.id in message.shown for message in slack.messages] == [False]
    await stanchion.rows("UPDATE slack_messages SET taken_at = now() - interval '61 seconds' WHERE owner = 'another'")
    await card_of(slack, taken)


async def test_a_dropped_socket_is_connected_again_and_clicks_arrive(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots()
    handle = await asking(stanchion)
    card = await card_of(slack, handle)
    before = slack.connected
    await slack.drop_sockets()
    await eventually(lambda: _true(slack.connected > before and slack.sockets), "the bot connects again")
    await slack.click(card, "approve")
    assert (await stanchion.outcome(handle))["status"] == "completed"


async def test_a_rate_limit_is_obeyed_and_the_card_comes_once(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts
) -> None:
    await bots()
    slack.rate_limit("chat.postMessage", seconds=2)
    handle = await asking(stanchion)
    await card_of(slack, handle)
    first, second = slack.times("chat.postMessage")
    assert second - first >= 1.9


async def test_slack_being_down_loses_nothing(stanchion: Stanchion, slack: FakeSlack, bots: Starts) -> None:
    await bots()
    slack.fail("chat.postMessage", times=3)
    slack.fail("chat.update", times=2, error="service_unavailable", status=503)
    handle = await asking(stanchion)
    card = await card_of(slack, handle)
    await stanchion.decide(handle, "approve", by="kim")
    await shows(card, "by kim at ")
    assert len(slack.messages) == 1


async def test_one_card_that_slack_refuses_keeps_no_other_back_and_nobody_approves_it_unseen(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts
) -> None:
    refused, other = await asking(stanchion), await asking(stanchion)
    slack.fail("chat.postMessage", times=1, error="msg_blocks_too_long", status=200)
    await bots()
    await card_of(slack, other)
    approval_id = (await stanchion.approval(refused))["approval_id"]
    card = next(message for message in slack.messages if approval_id in message.shown)
    assert card.buttons.keys() == {"deny", "run"}
    assert "stanchion approvals --json" in card.shown


async def test_a_card_that_was_deleted_in_slack_is_posted_anew_while_it_is_open(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts
) -> None:
    await bots()
    handle = await asking(stanchion)
    card = await card_of(slack, handle)
    card.deleted = True
    await stanchion.rows("UPDATE approvals SET needed = 2, approved_by = '{ann}' WHERE run_id = $1", handle.id)
    assert (await card_of(slack, handle)).ts != card.ts


async def test_a_lost_listen_connection_is_made_anew_and_what_was_missed_is_found(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots(poll_seconds=600)
    listening = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    old = await eventually(lambda: stanchion.value(listening), "the bot listens")
    missed = await asking(stanchion)
    await stanchion.rows("SELECT pg_notify('stanchion_approvals', '')")
    card = await card_of(slack, missed)
    await stanchion.rows("UPDATE approvals SET needed = 2, approved_by = '{ann}'")  # nobody is notified
    await stanchion.rows("SELECT pg_terminate_backend($1)", old)
    await shows(card, "Approved already by: ann")  # what was missed is looked for

    async def another() -> bool:
        return await stanchion.value(listening) not in (None, old)

    await eventually(another, "the bot listens again")
    handle = await asking(stanchion)
    approval_id = (await stanchion.approval(handle))["approval_id"]
    await stanchion.rows("SELECT pg_notify('stanchion_approvals', $1)", approval_id)
    await card_of(slack, handle)


async def test_approvals_of_other_tenants_are_neither_shown_nor_answered(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    await bots(tenants=("acme",))
    other, ours = await asking(stanchion), await asking(stanchion, tenant="acme")
    card = await card_of(slack, ours)
    assert not any(other.id in message.shown for message in slack.messages)
    approval_id = (await stanchion.approval(other))["approval_id"]
    value = json.dumps({"approval": approval_id, "digest": "0" * 64})
    card.buttons["approve"]["value"] = value
    await slack.click(card, "approve")
    await hears(slack, "ULEE", "no such approval")


# ── signing in, and who may speak to us ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"bot_token": "xoxb-wrong"}, "STANCHION_SLACK_BOT_TOKEN"),
        ({"app_token": "xapp-wrong"}, "STANCHION_SLACK_APP_TOKEN"),
    ],
)
async def test_a_wrong_token_is_named_at_the_start(
    bots: Starts, wrong: dict[str, str], named: str, database_url: str
) -> None:
    with pytest.raises(SlackRefused, match=named):
        await bots(**wrong)


async def test_without_the_signing_secret_http_does_not_start(bots: Starts) -> None:
    with pytest.raises(SlackMisconfigured, match="STANCHION_SLACK_SIGNING_SECRET"):
        await bots(http=True, signing_secret="")


async def test_over_http_slack_is_believed_and_a_forged_request_is_refused(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts, people: None
) -> None:
    url = await bots(http=True)
    handle = await asking(stanchion)
    card = await card_of(slack, handle)
    assert (await slack.click(card, "approve", url=url, secret="guessed"))["status"] == 401
    assert (await slack.click(card, "approve", url=url, age=600))["status"] == 401  # a replay
    assert await decisions_sent(handle) == []
    assert (await slack.click(card, "approve", url=url))["status"] == 200
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert len(await decisions_sent(handle)) == 1
