"""Shows budget and cost alarms as plain Slack messages, with the command to type and nothing to click."""

import json
from dataclasses import dataclass
from typing import Any

from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.slack.text import Block, header, lines
from workflows.contracts.budgets import micros_to_usd

SQL = Queries(__file__, "slack.sql")
BATCH = 20  # of a pass


@dataclass(frozen=True)
class AlarmMessage:
    """An alarm that a channel does not show yet."""

    alarm_id: str
    channel: str
    run_id: str
    agent: str
    kind: str
    body: dict[str, Any]

    @property
    def title(self) -> str:
        """What happened, in a line."""
        match self.kind:
            case "budget.breached":
                return f"{self.agent} is paused: its budget is used up"
            case "cost.alarm":
                return f"{self.agent} costs {self._usd('used')} USD, and runs of it cost {self._usd('typical')}"
            case "vendor.away":
                vendor = " ".join(filter(None, (self.body["vendor"], self.body.get("model"))))
                return f"{vendor} gives no answer: {self.body['error']}"
            case _:
                return f"{self.agent} has used {self.body['percent']} % of its {self.body['budget'].replace('_', ' ')}"

    @property
    def blocks(self) -> list[Block]:
        """The message. What it says was written by the run itself, and is shown letter by letter all the same."""
        told = str(self.body.get("told") or self._about_vendor or f"stanchion show {self.run_id}")
        return [header(self.title), lines(("Run", self.run_id), ("What to do", told))]

    @property
    def _about_vendor(self) -> str | None:
        if self.kind != "vendor.away":
            return None
        name, reason = self.body["vendor"], self.body["reason"]
        if self.body.get("needs_person"):
            return f"{reason} Then: stanchion resume --vendor {name}"
        return f"{reason} Its runs wait and ask again by themselves; at once: stanchion resume --vendor {name}"

    def _usd(self, name: str) -> str:
        return micros_to_usd(self.body[name])


@dataclass(frozen=True)
class AlarmMessages:
    """The table `slack_alarms`, for one replica (`owner`)."""

    database: Database
    owner: str

    async def due(self, channel: str, tenants: tuple[str, ...]) -> list[AlarmMessage]:
        """What has to be posted, oldest first; of the last day only: an older one helps nobody."""
        rows = await SQL["notices"].rows(
            self.database, channel=channel, owner=self.owner, tenants=list(tenants), most=BATCH
        )
        return [AlarmMessage(**{**row, "channel": channel, "body": json.loads(row["body"])}) for row in rows]

    async def take(self, notice: AlarmMessage) -> bool:
        """Whether this replica is the one to post it. Safe to ask again."""
        at = {"alarm_id": notice.alarm_id, "channel": notice.channel}
        return await SQL["take_notice"].row(self.database, owner=self.owner, **at) is not None

    async def posted(self, notice: AlarmMessage, ts: str) -> None:
        """Note the message."""
        at = {"alarm_id": notice.alarm_id, "channel": notice.channel}
        await SQL["notice_posted"].rows(self.database, ts=ts, owner=self.owner, **at)
