"""Clients of Slack's Web API, and the meaning of its errors."""

from collections.abc import Mapping
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from workers.slack.config import SlackSettings

TIMEOUT_SECONDS = 10  # for one request
QUIET_SECONDS = 30.0  # after a 429 without a Retry-After header
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


def client_with_retries(settings: SlackSettings) -> AsyncWebClient:
    """Return a client for replies to clicks, which waits and retries at a rate limit because a person is waiting."""
    return _client(settings, [AsyncRateLimitErrorRetryHandler(max_retry_count=2)])


def client_without_retries(settings: SlackSettings) -> AsyncWebClient:
    """Return a client for the message board, which handles rate limits itself. A retried post could appear twice."""
    return _client(settings, [])


def error_name(error: SlackApiError) -> str:
    """Return Slack's error code, such as `invalid_auth`."""
    data = getattr(error.response, "data", None)
    return str(data.get("error") or "no answer") if isinstance(data, dict) else "no answer"


def quiet_seconds(error: SlackApiError) -> float | None:
    """Return how many seconds Slack asks us to wait, or None if the error is not a rate limit."""
    status = getattr(error.response, "status_code", None)
    if status != 429 and error_name(error) not in ("ratelimited", "rate_limited"):
        return None
    headers: Mapping[str, Any] = {k.lower(): v for k, v in getattr(error.response, "headers", {}).items()}
    retry_after = str(headers.get("retry-after", ""))
    return float(retry_after) if retry_after.isdecimal() else QUIET_SECONDS


def _client(settings: SlackSettings, handlers: list[Any]) -> AsyncWebClient:
    return AsyncWebClient(
        token=settings.bot_token, base_url=settings.api_url, timeout=TIMEOUT_SECONDS, retry_handlers=handlers
    )
