"""Signing in to Slack, and who may speak to us over HTTP."""

import pytest

from tests.fakes.slack_api import FakeSlack
from tests.harness.stanchion import Stanchion
from tests.slack.channel import Starts, asking, card_of, decisions_sent
from workers.slack.config import SlackMisconfigured
from workers.slack.serve import SlackRefused


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
