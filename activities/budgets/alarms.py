"""Alarms in Postgres: each is stored once, with its event; CLI and Slack show them to people."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.trace import Trace
from workflows.contracts.alarms import BudgetBreached, BudgetMarked, CostAlarm
from workflows.contracts.budgets import Budget

SQL = Queries(__file__, "budgets.sql")


@dataclass(frozen=True)
class Breach:
    """The budget that an open run was last paused for. `added`: someone has added to it since."""

    rule: str
    reason: str
    told: str
    added: bool


@dataclass(frozen=True)
class Alarms:
    """The table `alarms`."""

    database: Database

    async def tell(
        self, run_id: str, alarms: Sequence[BudgetMarked | CostAlarm | BudgetBreached], step: int | None = None
    ) -> None:
        """Notify people of the alarms that are new: a row that Slack posts, an event and a log line for each.

        Raises StoreUnavailable.
        """
        if not alarms:
            return
        trace = Trace(run_id, tuple(alarms), step=step)
        keys = [_key(alarm) for alarm in alarms]
        rows = await SQL["raise"].rows(self.database, run_id=run_id, keys=keys, step=step, **trace.columns)
        new_ids = {row["alarm_id"] for row in rows}
        new_alarms = tuple(alarm for key, alarm in zip(keys, alarms, strict=True) if f"{run_id}/{key}" in new_ids)
        Trace(run_id, new_alarms, step=step).emit(logging.WARNING)

    async def breach(self, run_id: str) -> Breach | None:
        """The budget that an open run was last paused for; None if there is none. Raises StoreUnavailable."""
        row: Any = await SQL["breach"].row(self.database, run_id=run_id)
        if row is None:
            return None
        now = Budget.model_validate_json(row["budget"]).cap_of(row["rule"])
        return Breach(row["rule"], row["reason"], row["told"] or row["reason"], added=now > row["cap"])


def _key(alarm: BudgetMarked | CostAlarm | BudgetBreached) -> str:
    return f"{alarm.rule}:{alarm.cap}" if isinstance(alarm, BudgetBreached) else alarm.key
