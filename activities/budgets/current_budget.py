"""`budgets.weigh`: a run's budget as the tables have it now, whatever a signal claims."""

import json
from typing import Any

from temporalio import activity

from activities.budgets.alarms import SQL, Alarms
from activities.storage.database import Database
from workflows.contracts.alarms import BudgetWeighed, WeighRequest
from workflows.contracts.budgets import Budget
from workflows.ports import BudgetsPort


class Budgets(BudgetsPort):
    """Budgets of runs that are under way."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._alarms = Alarms(database)

    @activity.defn(name="budgets.weigh")
    async def weigh(self, request: WeighRequest) -> BudgetWeighed:
        """Read it; tell people if nobody added to it."""
        row: Any = await SQL["budget"].row(self._database, run_id=request.run_id)
        budget = Budget.model_validate(json.loads(row["budget"]))
        if budget.cap_of(request.breach.rule) <= request.breach.cap:
            await self._alarms.tell(request.run_id, (request.breach,))
        return BudgetWeighed(breach=request.breach, budget=budget)
