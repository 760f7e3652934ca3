"""The board: keeps Slack's messages in step with approvals and alarms. What fails is tried again from the rows."""

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
from workers.slack.cards import card, notice, unshowable
from workers.slack.config import SlackSettings
from workers.slack.messages import BATCH, ChannelApproval, Messages
from workers.slack.notifications import WakeEvent
from workers.slack.text import Block, escaped
from workers.slack.web_api import FIX, GONE, TOO_MUCH, error_name, quiet_seconds

POLL_SECONDS = 5.0  # what a lost notification costs
AGAIN_SECONDS = 15.0  # after a failure, so that a wrong channel does not fill the log
LITERAL: dict[str, Any] = {"parse": "none", "link_names": False}
UNFURL_NOT: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False, "mrkdwn": False}

T = TypeVar("T", ChannelApproval, AlarmMessage)
log = structlog.get_logger("stanchion.slack")


class _RateLimited(Exception):
    """Slack asked for silence."""


class _Unreachable(Exception):
    """Slack cannot be reached. A type of its own: inside a transaction, an OSError would be taken for Postgres's."""


class MessageBoard:
    """One replica's board."""

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
        self._unrecorded: dict[
            ChannelApproval, tuple[str, str]
        ] = {}  # posted, but Postgres went away before it was noted

    async def run(self, bell: WakeEvent) -> None:
        """Look whenever the bell rings, and every few seconds, for ever."""
        while True:
            await bell.wait(await self._look())

    async def _look(self) -> float:
        """Do what there is to do; how long to wait before looking again."""
        now = asyncio.get_running_loop().time()
        if self._quiet_until > now:
            return self._quiet_until - now
        try:
            due = await self._messages.due(
                self._settings.channel or "", self._settings.escalation_channel, self._settings.tenants
            )
            well = await self._each(due, self._post)
            changed = await self._messages.changed()
            well = await self._each(changed, self._update) and well
            notices = await self._messages.notices.due(self._settings.channel or "", self._settings.tenants)
            well = await self._each(notices, self._notify) and well
        except _RateLimited:
            return max(0.0, self._quiet_until - asyncio.get_running_loop().time())
        except _Unreachable as away:
            log.warning("slack.unreachable", error=str(away))
            return AGAIN_SECONDS
        except Transient as error:
            log.warning("slack.store_unavailable", error=str(error))
            return self._poll_seconds
        full = BATCH in (len(due), len(changed))
        return (0.0 if full else self._poll_seconds) if well else AGAIN_SECONDS

    async def _each(self, spots: Sequence[T], act: Callable[[T], Awaitable[None]]) -> bool:
        """Whether all went well. One that fails keeps no other from its turn."""
        well = True
        for spot in spots:
            try:
                await act(spot)
            except SlackApiError as error:
                self._heed(error)
                name = error_name(error)
                log.error("slack.refused", error=name, channel=spot.channel, fix=FIX.get(name))
                well = False
            except (_Unreachable, Transient):
                raise
            except Exception:
                log.exception("slack.failed", about=str(spot))
                well = False
        return well

    async def _notify(self, notice: AlarmMessage) -> None:
        """Post an alarm. One whose posting could not be noted is posted again after a while: better twice than not."""
        if not await self._messages.notices.take(notice):
            return
        with _naming_away():
            sent = await self._web.chat_postMessage(
                channel=notice.channel, text=escaped(notice.title), blocks=notice.blocks, **LITERAL, **UNFURL_NOT
            )
        await self._messages.notices.posted(notice, str(sent["ts"]))

    async def _post(self, spot: ChannelApproval) -> None:
        approval = await self._messages.approval(spot.approval_id)
        if approval is None or not await self._messages.take(spot):
            return
        if spot not in self._unrecorded:
            ts = await self._shown(approval, lambda blocks: self._send(spot, approval, blocks))
            self._unrecorded[spot] = (ts, approval.showing)
        ts, showing = self._unrecorded[spot]
        ours = await self._messages.posted(spot, ts, showing)
        del self._unrecorded[spot]
        if not ours:
            with _naming_away():
                await self._web.chat_delete(channel=spot.channel, ts=ts)

    async def _send(self, spot: ChannelApproval, approval: Approval, blocks: list[Block]) -> str:
        with _naming_away():
            sent = await self._web.chat_postMessage(
                channel=spot.channel, text=notice(approval), blocks=blocks, **LITERAL, **UNFURL_NOT
            )
        return str(sent["ts"])

    async def _update(self, spot: ChannelApproval) -> None:
        async with self._messages.hold(spot) as held:
            if held is None:
                return
            approval = await self._messages.approval(spot.approval_id)
            if approval is None:
                return
            try:
                await self._shown(approval, lambda blocks: self._replace(spot.channel, held.ts, approval, blocks))
            except SlackApiError as error:
                if error_name(error) not in GONE:
                    raise
                await held.is_gone()
            else:
                await held.shows(approval.showing)

    async def refresh(self, approval: Approval, channel: str, ts: str) -> None:
        """Show an answered approval in the very message that was clicked, in case nobody keeps that one up to date."""
        with contextlib.suppress(SlackApiError, _Unreachable):
            await self._shown(approval, lambda blocks: self._replace(channel, ts, approval, blocks))

    async def _replace(self, channel: str, ts: str, approval: Approval, blocks: list[Block]) -> str:
        with _naming_away():
            await self._web.chat_update(channel=channel, ts=ts, text=notice(approval), blocks=blocks, **LITERAL)
        return ts

    async def _shown(self, approval: Approval, send: Callable[[list[Block]], Awaitable[str]]) -> str:
        link = self._link(approval.run_id)
        try:
            return await send(card(approval, link))
        except SlackApiError as error:
            if error_name(error) not in TOO_MUCH:
                raise
            log.error("slack.card_refused", approval_id=approval.approval_id, error=error_name(error))
            return await send(unshowable(approval, link))

    def _heed(self, error: SlackApiError) -> None:
        """Raises _Quiet if Slack asked for silence."""
        seconds = quiet_seconds(error)
        if seconds is not None:
            self._quiet_until = asyncio.get_running_loop().time() + seconds
            log.warning("slack.rate_limited", seconds=seconds)
            raise _RateLimited from None


@contextlib.contextmanager
def _naming_away() -> Iterator[None]:
    try:
        yield
    except (ClientError, TimeoutError, OSError) as error:
        raise _Unreachable(type(error).__name__) from error
