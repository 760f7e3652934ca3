"""Messages: the table of Slack messages, with which several replicas of the bot post each approval once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.slack.alarm_messages import AlarmMessages
from workers.slack.approval import Approval, approval_from_row

SQL = Queries(__file__, "slack.sql")
BATCH = 50  # messages per pass; after a full batch the next pass follows at once


@dataclass(frozen=True)
class ChannelApproval:
    """An approval to show in a channel."""

    approval_id: str
    channel: str


@dataclass(frozen=True)
class OwnedMessage:
    """A posted message that is locked, so that no other replica updates it."""

    item: ChannelApproval
    ts: str
    connection: Any

    async def record_shown(self, showing: str) -> None:
        """Record which state of the approval the message shows now."""
        key = {"approval_id": self.item.approval_id, "channel": self.item.channel}
        await SQL["updated"].on(self.connection, showing=showing, **key)

    async def record_deleted(self) -> None:
        """Record that somebody deleted the message in Slack."""
        await SQL["forget"].on(self.connection, approval_id=self.item.approval_id, channel=self.item.channel)


class Messages:
    """The table `slack_messages`, for one replica (`owner`)."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner
        self.alarms = AlarmMessages(database, owner)

    async def approval(self, approval_id: str) -> Approval | None:
        """Return the current state of an approval, or None if it does not exist."""
        row = await SQL["approval"].row(self._database, approval_id=approval_id)
        return None if row is None else approval_from_row(row)

    async def due(self, channel: str, escalation: str | None, tenants: tuple[str, ...]) -> list[ChannelApproval]:
        """Return the open approvals that still have to be posted, oldest first."""
        rows = await SQL["due"].rows(
            self._database,
            channel=channel,
            escalation=escalation,
            owner=self._owner,
            tenants=list(tenants),
            most=BATCH,
        )
        return [ChannelApproval(**row) for row in rows]

    async def take(self, item: ChannelApproval) -> bool:
        """Reserve the posting of an approval. Returns False if another replica has it. Safe to repeat."""
        row = await SQL["take"].row(
            self._database, approval_id=item.approval_id, channel=item.channel, owner=self._owner
        )
        return row is not None

    async def posted(self, item: ChannelApproval, ts: str, showing: str) -> bool:
        """Record our message. Returns False if another replica took over, so that ours is a duplicate."""
        key = {"approval_id": item.approval_id, "channel": item.channel}
        row = await SQL["posted"].row(self._database, ts=ts, showing=showing, owner=self._owner, **key)
        return row is not None

    async def changed(self) -> list[ChannelApproval]:
        """Return the messages that show an earlier state of their approval."""
        return [ChannelApproval(**row) for row in await SQL["changed"].rows(self._database, most=BATCH)]

    @asynccontextmanager
    async def lock(self, item: ChannelApproval) -> AsyncIterator[OwnedMessage | None]:
        """Lock a message during the `async with`; yields None if another replica has locked it.

        The lock keeps one replica from replacing a card with an older one.
        """
        async with self._database.transaction() as connection:
            key = {"approval_id": item.approval_id, "channel": item.channel}
            rows = await SQL["lock"].on(connection, **key)
            yield OwnedMessage(item, rows[0]["ts"], connection) if rows else None
