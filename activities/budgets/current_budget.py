"""The activity `budgets.weigh`: reads a run's current budget from Postgres, because signals are not trusted."""

import json
from typing import Any

from temporalio import activity

from activities.budgets.alarms import SQL, Alarms
from activities.storage.database import Database
from workflows.contracts.alarms import BudgetWeighed, WeighRequest
from workflows.contracts.budgets import Budget
from workflows.ports import BudgetsPort


class Budgets(BudgetsPort):
    """Implements the activity `budgets.weigh`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._alarms = Alarms(database)

    @activity.defn(name="budgets.weigh")
    async def weigh(self, request: WeighRequest) -> BudgetWeighed:
        """Return the run's current budget; if nobody has added to the breached one, notify people."""
        row: Any = await SQL["budget"].row(self._database, run_id=request.run_id)
        budget = Budget.model_validate(json.loads(row["budget"]))
        if budget.cap_of(request.breach.rule) <= request.breach.cap:
            await self._alarms.tell(request.run_id, (request.breach,))
        return BudgetWeighed(breach=request.breach, budget=budget)
