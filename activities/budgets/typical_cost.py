"""The typical cost of an agent's runs, and the multiples of it at which alarms are raised. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflows.contracts.budgets import Budget

if TYPE_CHECKING:
    from activities.agents.definition import AlarmRules

LOOKED_AT = 20  # number of latest completed runs to learn from; only the latest, because costs change over time
FEWEST = 5  # minimum number of completed runs; the median of fewer says little
# In micro-USD. The typical cost is at least one cent: if most runs called no model, one that did would raise an alarm.
FLOOR = 10_000


@dataclass(frozen=True)
class AlarmFactors:
    """Multiples of the typical cost: at `warn` people are notified, at `stop` the run begins nothing more."""

    warn: int = 10
    stop: int = 50

    def of(self, rules: "AlarmRules") -> "AlarmFactors":
        """The factors of an agent: those of its definition, or else these; `warn` is at most `stop`."""
        stop = rules.stop or max(self.stop, rules.warn or 0)
        return AlarmFactors(min(rules.warn or self.warn, stop), stop)


def with_alarms(budget: Budget, typical: int | None, factors: AlarmFactors) -> Budget:
    """The budget with alarm thresholds for the whole run. `typical`: in micro-USD; None for no alarms."""
    if typical is None:
        return budget
    usual = max(typical, FLOOR)
    thresholds = {"alarm_usd_micros": usual * factors.warn, "stop_usd_micros": usual * factors.stop}
    return budget.model_copy(update={"typical_usd_micros": usual, **thresholds})
