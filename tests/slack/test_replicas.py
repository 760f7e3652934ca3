"""Several replicas, and everything that breaks: each card comes once, and no answer is lost."""

import asyncio
import json

import pytest

from tests.fakes.slack_api import FakeSlack
from tests.harness.stanchion import Stanchion, eventually
from tests.slack.channel import (
    Starts,
    as_seen,
    asking,
    card_of,
    hears,
    shows,
)

pytestmark = pytest.mark.slow


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
    await eventually(lambda: as_seen(slack.connected > before and slack.sockets), "the bot connects again")
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
