"""What a run of an agent usually costs, and from which multiple of it on somebody should look. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflows.contracts.budgets import Budget

if TYPE_CHECKING:
    from activities.agents.definition import AlarmRules

LOOKED_AT = 20  # completed runs, the latest: what an agent costs changes with its model and its work
FEWEST = 5  # of which there have to be so many: the median of fewer says little
# Micro-USD: a run is never taken to cost less than a cent, or one that calls a model at all would alarm beside many
# that did not.
FLOOR = 10_000


@dataclass(frozen=True)
class AlarmFactors:
    """How many times the typical cost a run may come to: then people are told, then nothing more is begun."""

    warn: int = 10
    stop: int = 50

    def of(self, rules: "AlarmRules") -> "AlarmFactors":
        """These, where an agent's own definition says nothing else; it never warns after it stops."""
        stop = rules.stop or max(self.stop, rules.warn or 0)
        return AlarmFactors(min(rules.warn or self.warn, stop), stop)


def with_alarms(budget: Budget, typical: int | None, factors: AlarmFactors) -> Budget:
    """The budget with its alarms, frozen for the life of the run. Too few runs to learn from (None): without."""
    if typical is None:
        return budget
    usual = max(typical, FLOOR)
    thresholds = {"alarm_usd_micros": usual * factors.warn, "stop_usd_micros": usual * factors.stop}
    return budget.model_copy(update={"typical_usd_micros": usual, **thresholds})
