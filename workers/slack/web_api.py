"""Slack's Web API as we use it: clients, and what its errors mean."""

from collections.abc import Mapping
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from workers.slack.config import SlackSettings

TIMEOUT_SECONDS = 10  # of one request
QUIET_SECONDS = 30.0  # after a 429 that does not say how long
TOO_MUCH = frozenset(("invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long"))
GONE = frozenset(("message_not_found", "cant_update_message"))
FIX: Mapping[str, str] = {
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "check STANCHION_SLACK_CHANNEL, and invite the bot if the channel is private",
    "is_archived": "the channel is archived; set STANCHION_SLACK_CHANNEL to another one",
    "missing_scope": "give the app the scopes of docs/slack.md, and install it again",
    "invalid_auth": "check STANCHION_SLACK_BOT_TOKEN",
    "token_revoked": "install the app again, and set STANCHION_SLACK_BOT_TOKEN",
    "account_inactive": "install the app again, and set STANCHION_SLACK_BOT_TOKEN",
}


def patient(settings: SlackSettings) -> AsyncWebClient:
    """For answers to a click: a rate limit is waited for at once, because a person is waiting, too."""
    return _client(settings, [AsyncRateLimitErrorRetryHandler(max_retry_count=2)])


def plain(settings: SlackSettings) -> AsyncWebClient:
    """For the board, which has its own way with rate limits. No retries: a repeated post would be two messages."""
    return _client(settings, [])


def error_name(error: SlackApiError) -> str:
    """Slack's word for what is wrong, such as `invalid_auth`."""
    data = getattr(error.response, "data", None)
    return str(data.get("error") or "no answer") if isinstance(data, dict) else "no answer"


def quiet_seconds(error: SlackApiError) -> float | None:
    """How long Slack asks us to be quiet, if that is what it said."""
    status = getattr(error.response, "status_code", None)
    if status != 429 and error_name(error) not in ("ratelimited", "rate_limited"):
        return None
    headers: Mapping[str, Any] = {k.lower(): v for k, v in getattr(error.response, "headers", {}).items()}
    after = str(headers.get("retry-after", ""))
    return float(after) if after.isdecimal() else QUIET_SECONDS


def _client(settings: SlackSettings, handlers: list[Any]) -> AsyncWebClient:
    return AsyncWebClient(
        token=settings.bot_token, base_url=settings.api_url, timeout=TIMEOUT_SECONDS, retry_handlers=handlers
    )
