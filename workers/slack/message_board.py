"""MessageBoard: posts and updates Slack messages, so that they show the approvals and alarms in Postgres."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import structlog
from aiohttp import ClientError
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from activities.errors import Transient
from workers.slack.alarm_messages import AlarmMessage
from workers.slack.approval import Approval
from workers.slack.cards import card, fallback_card, notification_text
from workers.slack.config import SlackSettings
from workers.slack.messages import BATCH, ChannelApproval, Messages
from workers.slack.notifications import WakeEvent
from workers.slack.text import Block, escaped
from workers.slack.web_api import FIX, GONE, TOO_MUCH, error_name, quiet_seconds

POLL_SECONDS = 5.0  # the longest delay after a lost notification
RETRY_SECONDS = 15.0  # after a failure; long, so that a wrong channel does not fill the log
LITERAL: dict[str, Any] = {"parse": "none", "link_names": False}
NO_UNFURL: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False, "mrkdwn": False}

T = TypeVar("T", ChannelApproval, AlarmMessage)
log = structlog.get_logger("stanchion.slack")


class _RateLimited(Exception):
    """Slack asked us to send nothing for some seconds."""


class _Unreachable(Exception):
    """Slack cannot be reached. Not an OSError: inside a transaction that would count as an error of Postgres."""


class MessageBoard:
    """Keeps the messages of one replica of the bot up to date. Retries failures in a later pass over the rows."""

    def __init__(
        self,
        settings: SlackSettings,
        web: AsyncWebClient,
        messages: Messages,
        link: Callable[[str], str | None],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._settings = settings
        self._web = web
        self._messages = messages
        self._link = link
        self._poll_seconds = poll_seconds
        self._quiet_until = 0.0
        # Posted messages that are not in Postgres yet, because it was down: (timestamp, what the message shows).
        self._unrecorded: dict[ChannelApproval, tuple[str, str]] = {}

    async def run(self, wake: WakeEvent) -> None:
        """Update the messages for ever: when `wake` is set, and every few seconds."""
        while True:
            await wake.wait(await self._update_all())

    async def _update_all(self) -> float:
        """Post and update all messages that need it. Returns the seconds to wait before the next pass."""
        now = asyncio.get_running_loop().time()
        if self._quiet_until > now:
            return self._quiet_until - now
        try:
            due = await self._messages.due(
                self._settings.channel or "", self._settings.escalation_channel, self._settings.tenants
            )
            all_succeeded = await self._for_each(due, self._post)
            changed = await self._messages.changed()
            all_succeeded = await self._for_each(changed, self._update) and all_succeeded
            alarms = await self._messages.alarms.due(self._settings.channel or "", self._settings.tenants)
            all_succeeded = await self._for_each(alarms, self._post_alarm) and all_succeeded
        except _RateLimited:
            return max(0.0, self._quiet_until - asyncio.get_running_loop().time())
        except _Unreachable as error:
            log.warning("slack.unreachable", error=str(error))
            return RETRY_SECONDS
        except Transient as error:
            log.warning("slack.store_unavailable", error=str(error))
            return self._poll_seconds
        if not all_succeeded:
            return RETRY_SECONDS
        has_more = BATCH in (len(due), len(changed))
        return 0.0 if has_more else self._poll_seconds

    async def _for_each(self, items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> bool:
        """Call `act` for each item, also after failures. Returns whether all succeeded."""
        all_succeeded = True
        for item in items:
            try:
                await act(item)
            except SlackApiError as error:
                self._raise_if_rate_limited(error)
                name = error_name(error)
                log.error("slack.refused", error=name, channel=item.channel, fix=FIX.get(name))
                all_succeeded = False
            except (_Unreachable, Transient):
                raise
            except Exception:
                log.exception("slack.failed", about=str(item))
                all_succeeded = False
        return all_succeeded

    async def _post_alarm(self, alarm: AlarmMessage) -> None:
        """Post an alarm. If Postgres goes down before the message is recorded, it is posted again a minute later."""
        if not await self._messages.alarms.take(alarm):
            return
        with _slack_errors():
            sent = await self._web.chat_postMessage(
                channel=alarm.channel, text=escaped(alarm.title), blocks=alarm.blocks, **LITERAL, **NO_UNFURL
            )
        await self._messages.alarms.posted(alarm, str(sent["ts"]))

    async def _post(self, item: ChannelApproval) -> None:
        """Post an approval and record the message. If another replica took over in between, delete our message."""
        approval = await self._messages.approval(item.approval_id)
        if approval is None or not await self._messages.take(item):
            return
        if item not in self._unrecorded:
            ts = await self._send_card(approval, lambda blocks: self._post_message(item, approval, blocks))
            self._unrecorded[item] = (ts, approval.showing)
        ts, showing = self._unrecorded[item]
        is_ours = await self._messages.posted(item, ts, showing)
        del self._unrecorded[item]
        if not is_ours:
            with _slack_errors():
                await self._web.chat_delete(channel=item.channel, ts=ts)

    async def _post_message(self, item: ChannelApproval, approval: Approval, blocks: list[Block]) -> str:
        with _slack_errors():
            sent = await self._web.chat_postMessage(
                channel=item.channel, text=notification_text(approval), blocks=blocks, **LITERAL, **NO_UNFURL
            )
        return str(sent["ts"])

    async def _update(self, item: ChannelApproval) -> None:
        async with self._messages.lock(item) as message:
            if message is None:
                return
            approval = await self._messages.approval(item.approval_id)
            if approval is None:
                return
            try:
                await self._send_card(
                    approval, lambda blocks: self._update_message(item.channel, message.ts, approval, blocks)
                )
            except SlackApiError as error:
                if error_name(error) not in GONE:
                    raise
                await message.record_deleted()
            else:
                await message.record_shown(approval.showing)

    async def refresh(self, approval: Approval, channel: str, ts: str) -> None:
        """Show a closed approval in the message that was clicked, in case that message is not in our table."""
        with contextlib.suppress(SlackApiError, _Unreachable):
            await self._send_card(approval, lambda blocks: self._update_message(channel, ts, approval, blocks))

    async def _update_message(self, channel: str, ts: str, approval: Approval, blocks: list[Block]) -> str:
        with _slack_errors():
            text = notification_text(approval)
            await self._web.chat_update(channel=channel, ts=ts, text=text, blocks=blocks, **LITERAL)
        return ts

    async def _send_card(self, approval: Approval, send: Callable[[list[Block]], Awaitable[str]]) -> str:
        """Send the card; if Slack refuses its content, send a fallback without it. Returns the message's timestamp."""
        link = self._link(approval.run_id)
        try:
            return await send(card(approval, link))
        except SlackApiError as error:
            if error_name(error) not in TOO_MUCH:
                raise
            log.error("slack.card_refused", approval_id=approval.approval_id, error=error_name(error))
            return await send(fallback_card(approval, link))

    def _raise_if_rate_limited(self, error: SlackApiError) -> None:
        """Raises _RateLimited if Slack asked us to send nothing for some seconds."""
        seconds = quiet_seconds(error)
        if seconds is not None:
            self._quiet_until = asyncio.get_running_loop().time() + seconds
            log.warning("slack.rate_limited", seconds=seconds)
            raise _RateLimited from None


@contextlib.contextmanager
def _slack_errors() -> Iterator[None]:
    """Turn network errors of a request to Slack into _Unreachable."""
    try:
        yield
    except (ClientError, TimeoutError, OSError) as error:
        raise _Unreachable(type(error).__name__) from error
