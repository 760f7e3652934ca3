"""Carving: which part of a run's budget its sub-agent gets, from what was asked and what is left. Pure.

What is carved is reserved from the run's own windows by the call that delegates, and is the cap of the sub-agent's.
Windows of tenant, agent and day are not touched: what the sub-agent does is counted there as it does it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from activities.ledger.caps import EVERY, UNITS, Rule
from activities.ledger.windows import Spender, Use, Window, windows_for
from workflows.contracts.budgets import Budget, BudgetRequest, requested_caps

NEEDED = ("tokens", "minutes")  # without any of these an agent cannot even begin
DELEGATED = "tool:delegate"  # class of minutes: the run's own are all reserved from its start on


@dataclass(frozen=True)
class BudgetShare:
    """The run's own windows, as far as one can be carved from, by unit; each with what is used and reserved of it."""

    windows: Mapping[str, Window]
    used: Mapping[str, int]

    @classmethod
    def of(
        cls, spender: Spender, rules: Iterable[Rule], used: Mapping[tuple[str, str], int], seconds: float
    ) -> "BudgetShare":
        """From the rules in force and what is used, by (unit, class). `seconds`: active time of the run itself."""
        found = windows_for(spender, Use(dict.fromkeys(UNITS.values(), 1)), rules)
        windows = {window.unit: window for window in found if window.scope == "run" and window.period == "run"}
        own_minutes = math.ceil(max(seconds, 0) / 60)
        taken = {unit: used.get((unit, "*"), 0) for unit in windows}
        taken["minutes"] = own_minutes + used.get(("minutes", DELEGATED), 0)
        return cls(windows, taken)

    def left(self, unit: str) -> int:
        """What is neither used nor reserved."""
        return max(self.windows[unit].cap - self.used[unit], 0)

    def windows_for_budget(self, budget: Budget, seconds: float) -> list[Window]:
        """The windows to reserve this budget from."""
        carved = []
        for name, unit in UNITS.items():
            window = self.windows[unit]
            cap, call_class = window.cap, window.call_class
            if unit == "minutes":
                cap, call_class = max(cap - math.ceil(max(seconds, 0) / 60), 0), DELEGATED
            if amount := getattr(budget, name):
                place = (window.tenant, window.scope, window.key, unit, call_class, window.period)
                carved.append(Window(*place, cap, amount, rule=window.rule))
        return carved


def share_budget(share: BudgetShare, allowed: Budget, asked: BudgetRequest) -> Budget:
    """The budget of a sub-agent that may use `allowed` at most. What is not asked for is half of what is left, or all
    that it may use where that is less. Raises CapReached: more was asked for than is left, or too little is left.
    """
    named, given = requested_caps(asked), {"steps": allowed.steps}
    for name, unit in UNITS.items():
        left, most = share.left(unit), getattr(allowed, name)
        amount = min(named.get(name, _half(left)), most)
        if amount > left or (amount < 1 and name in NEEDED):
            used = share.used[unit]
            raise share.windows[unit].refusal(used=used, reserved=0, amount=max(amount, 1))
        given[name] = amount
    return Budget(**given)


def _half(left: int) -> int:
    return max(left // 2, min(left, 1))


def is_reserved_by_share(rule: Rule) -> bool:
    """Whether what a sub-agent uses against this rule was reserved when its budget was carved."""
    return rule.period == "run" and rule.call_class == EVERY and rule.unit in UNITS.values()


def allowed_budget(own: Budget, most: BudgetRequest) -> Budget:
    """What an agent may use by its own definition and by that of the agent that delegates to it."""
    caps = requested_caps(most)
    return own.model_copy(update={name: min(getattr(own, name), cap) for name, cap in caps.items()})
