"""Budget and cost alarms as Slack messages: what happened, and the command to type; without buttons."""

import json
from dataclasses import dataclass
from typing import Any

from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.slack.text import Block, header, lines
from workflows.contracts.budgets import micros_to_usd

SQL = Queries(__file__, "slack.sql")
BATCH = 20  # messages per pass


@dataclass(frozen=True)
class AlarmMessage:
    """An alarm to post in a channel."""

    alarm_id: str
    channel: str
    run_id: str
    agent: str
    kind: str
    body: dict[str, Any]

    @property
    def title(self) -> str:
        """One line that says what happened."""
        match self.kind:
            case "budget.breached":
                return f"{self.agent} is paused: its budget is used up"
            case "cost.alarm":
                return f"{self.agent} has cost {self._usd('used')} USD; its runs typically cost {self._usd('typical')}"
            case "vendor.away":
                vendor = " ".join(filter(None, (self.body["vendor"], self.body.get("model"))))
                return f"{vendor} gives no answer: {self.body['error']}"
            case _:
                return f"{self.agent} has used {self.body['percent']} % of its {self.body['budget'].replace('_', ' ')}"

    @property
    def blocks(self) -> list[Block]:
        """The message. All its text is shown literally, although our own code wrote it."""
        advice = str(self.body.get("told") or self._about_vendor or f"stanchion show {self.run_id}")
        return [header(self.title), lines(("Run", self.run_id), ("What to do", advice))]

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
        """Return the alarms of the last day that still have to be posted, oldest first."""
        rows = await SQL["notices"].rows(
            self.database, channel=channel, owner=self.owner, tenants=list(tenants), most=BATCH
        )
        return [AlarmMessage(**{**row, "channel": channel, "body": json.loads(row["body"])}) for row in rows]

    async def take(self, alarm: AlarmMessage) -> bool:
        """Reserve the posting of an alarm. Returns False if another replica has it. Safe to repeat."""
        key = {"alarm_id": alarm.alarm_id, "channel": alarm.channel}
        return await SQL["take_notice"].row(self.database, owner=self.owner, **key) is not None

    async def posted(self, alarm: AlarmMessage, ts: str) -> None:
        """Record the posted message."""
        key = {"alarm_id": alarm.alarm_id, "channel": alarm.channel}
        await SQL["notice_posted"].rows(self.database, ts=ts, owner=self.owner, **key)
