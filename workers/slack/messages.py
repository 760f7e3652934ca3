"""Which message shows which approval: the rows that let several replicas post each approval once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.slack.alarm_messages import AlarmMessages
from workers.slack.approval import Approval, approval_of

SQL = Queries(__file__, "slack.sql")
BATCH = 50  # of a pass; the next pass follows at once


@dataclass(frozen=True)
class ChannelApproval:
    """An approval in a channel."""

    approval_id: str
    channel: str


@dataclass(frozen=True)
class OwnedMessage:
    """A message that only we update until we let go of it."""

    spot: ChannelApproval
    ts: str
    connection: Any

    async def shows(self, showing: str) -> None:
        """Note what it shows now."""
        at = {"approval_id": self.spot.approval_id, "channel": self.spot.channel}
        await SQL["updated"].on(self.connection, showing=showing, **at)

    async def is_gone(self) -> None:
        """Note that somebody deleted it."""
        await SQL["forget"].on(self.connection, approval_id=self.spot.approval_id, channel=self.spot.channel)


class Messages:
    """The table `slack_messages`, for one replica (`owner`)."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner
        self.notices = AlarmMessages(database, owner)

    async def approval(self, approval_id: str) -> Approval | None:
        """One approval, as it is now."""
        row = await SQL["approval"].row(self._database, approval_id=approval_id)
        return None if row is None else approval_of(row)

    async def due(self, channel: str, escalation: str | None, tenants: tuple[str, ...]) -> list[ChannelApproval]:
        """What has to be posted, oldest first."""
        rows = await SQL["due"].rows(
            self._database,
            channel=channel,
            escalation=escalation,
            owner=self._owner,
            tenants=list(tenants),
            most=BATCH,
        )
        return [ChannelApproval(**row) for row in rows]

    async def take(self, spot: ChannelApproval) -> bool:
        """Whether this replica is the one to post it. Safe to ask again."""
        row = await SQL["take"].row(
            self._database, approval_id=spot.approval_id, channel=spot.channel, owner=self._owner
        )
        return row is not None

    async def posted(self, spot: ChannelApproval, ts: str, showing: str) -> bool:
        """Note the message. False: another replica took over, and ours is one too many."""
        at = {"approval_id": spot.approval_id, "channel": spot.channel}
        row = await SQL["posted"].row(self._database, ts=ts, showing=showing, owner=self._owner, **at)
        return row is not None

    async def changed(self) -> list[ChannelApproval]:
        """Messages that are out of date."""
        return [ChannelApproval(**row) for row in await SQL["changed"].rows(self._database, most=BATCH)]

    @asynccontextmanager
    async def hold(self, spot: ChannelApproval) -> AsyncIterator[OwnedMessage | None]:
        """The message, for us alone, so that no older card lands on a newer one; None: another replica is at it."""
        async with self._database.transaction() as connection:
            at = {"approval_id": spot.approval_id, "channel": spot.channel}
            rows = await SQL["lock"].on(connection, **at)
            yield OwnedMessage(spot, rows[0]["ts"], connection) if rows else None
