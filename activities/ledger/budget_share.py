"""Computes the share of a run's budget that its sub-agent gets, from what was asked for and what is left. Pure.

The delegating call reserves the share from the run's own windows, and the share becomes the sub-agent's budget. Nothing
is reserved from the windows of tenant, agent and day: the sub-agent's calls reserve from those themselves.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from activities.ledger.caps import EVERY, UNITS, Rule
from activities.ledger.windows import Spender, Use, Window, windows_for
from workflows.contracts.budgets import Budget, BudgetRequest, requested_caps

NEEDED = ("tokens", "minutes")  # a sub-agent needs at least one of each to begin
DELEGATED = "tool:delegate"  # call class of delegated minutes; the run reserves all of its own minutes when it opens


@dataclass(frozen=True)
class BudgetShare:
    """The run's own windows that a share can be taken from, by unit, and how much of each is used or reserved."""

    windows: Mapping[str, Window]
    used: Mapping[str, int]

    @classmethod
    def of(
        cls, spender: Spender, rules: Iterable[Rule], used: Mapping[tuple[str, str], int], seconds: float
    ) -> "BudgetShare":
        """From the rules in force and what is used or reserved, by (unit, class).

        `seconds`: active time of the run itself.
        """
        found = windows_for(spender, Use(dict.fromkeys(UNITS.values(), 1)), rules)
        windows = {window.unit: window for window in found if window.scope == "run" and window.period == "run"}
        own_minutes = math.ceil(max(seconds, 0) / 60)
        taken = {unit: used.get((unit, "*"), 0) for unit in windows}
        taken["minutes"] = own_minutes + used.get(("minutes", DELEGATED), 0)
        return cls(windows, taken)

    def left(self, unit: str) -> int:
        """The amount that is neither used nor reserved."""
        return max(self.windows[unit].cap - self.used[unit], 0)

    def windows_for_budget(self, budget: Budget, seconds: float) -> list[Window]:
        """The windows to reserve this budget from. `seconds`: active time of the run itself."""
        windows = []
        for name, unit in UNITS.items():
            window = self.windows[unit]
            cap, call_class = window.cap, window.call_class
            if unit == "minutes":
                cap, call_class = max(cap - math.ceil(max(seconds, 0) / 60), 0), DELEGATED
            if amount := getattr(budget, name):
                key = (window.tenant, window.scope, window.key, unit, call_class, window.period)
                windows.append(Window(*key, cap, amount, rule=window.rule))
        return windows


def share_budget(share: BudgetShare, allowed: Budget, asked: BudgetRequest) -> Budget:
    """The budget of a sub-agent: what was asked for, or half of what is left, but `allowed` at most.

    Raises CapReached if less is left than was asked for, or if too little is left to begin.
    """
    asked_caps, shares = requested_caps(asked), {"steps": allowed.steps}
    for name, unit in UNITS.items():
        left, most = share.left(unit), getattr(allowed, name)
        amount = min(asked_caps.get(name, _half(left)), most)
        if amount > left or (amount < 1 and name in NEEDED):
            used = share.used[unit]
            raise share.windows[unit].refusal(used=used, reserved=0, amount=max(amount, 1))
        shares[name] = amount
    return Budget(**shares)


def _half(left: int) -> int:
    return max(left // 2, min(left, 1))


def is_reserved_by_share(rule: Rule) -> bool:
    """Whether the sub-agent's use under this rule was reserved when it got its share."""
    return rule.period == "run" and rule.call_class == EVERY and rule.unit in UNITS.values()


def allowed_budget(own: Budget, most: BudgetRequest) -> Budget:
    """What a sub-agent may use: the smaller of its own budget `own` and the delegating agent's limit `most`."""
    caps = requested_caps(most)
    return own.model_copy(update={name: min(getattr(own, name), cap) for name, cap in caps.items()})
