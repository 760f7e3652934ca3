"""Notices about a run's budget: partly used, used up, or many times the typical cost of its agent."""

from typing import Annotated, Literal

from pydantic import Field

from workflows.contracts.base import Frozen
from workflows.contracts.budgets import Budget

BudgetName = Literal["usd", "tokens", "tool_calls", "minutes", "steps"]
OWN_RULES = frozenset(("budget.usd", "budget.tokens", "budget.tool_calls", "budget.minutes", "budget.steps")) | {
    "budget.typical"
}  # of the run itself: what a person can add to; a tenant's or an agent's cap is none of them


class BudgetBreached(Frozen):
    """A budget of the run's own is used up: the next call was not begun. `used` and `cap` in the units of `Budget`."""

    kind: Literal["budget.breached"] = "budget.breached"
    rule: str  # budget.usd, …, or budget.typical: many times what runs of this agent cost
    used: int
    cap: int
    reason: str  # for people, with numbers
    told: str = ""  # the same with the command that lets the run go on


class BudgetMarked(Frozen):
    """So many percent of a budget are used."""

    kind: Literal["budget.marked"] = "budget.marked"
    budget: BudgetName
    percent: int
    used: int
    cap: int

    @property
    def key(self) -> str:
        """What is told once: of a budget that was raised, it is told anew."""
        return f"{self.budget}:{self.percent}:{self.cap}"


class CostAlarm(Frozen):
    """The run costs many times what runs of its agent cost. In micro-USD."""

    kind: Literal["cost.alarm"] = "cost.alarm"
    used: int
    typical: int
    cap: int  # from which on this is said

    @property
    def key(self) -> str:
        """What is told once."""
        return "cost"


Alarm = Annotated[BudgetMarked | CostAlarm, Field(discriminator="kind")]


class AlarmsTold(Frozen):
    """The model, and people, were told of these."""

    kind: Literal["alarms.told"] = "alarms.told"
    keys: tuple[str, ...]


class WeighRequest(Frozen):
    """Ask what the budget of a run is now; people are told of `breach` if it still is one."""

    run_id: str
    breach: BudgetBreached


class BudgetWeighed(Frozen):
    """The run's budget as it stands in the tables: what it was opened with, and what people added since."""

    kind: Literal["budget.weighed"] = "budget.weighed"
    breach: BudgetBreached
    budget: Budget
