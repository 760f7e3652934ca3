"""Computes the terms of a run at its admission: agent version, budget, mode, and the runs above it. Pure.

A request may tighten the agent's terms. The caps of the operator and the tenant limit them further.
"""

from dataclasses import dataclass, replace
from typing import Self

from activities.agents.versions import AgentVersion
from activities.budgets.typical_cost import AlarmFactors, with_alarms
from activities.errors import Permanent
from activities.ledger.caps import Rule
from activities.ledger.effective_caps import budget_within, default_budget
from activities.policy.engine.modes import STRICTNESS
from activities.runs.delegated_runs import NO_ANCESTORS, Ancestors, Delegated
from workflows.contracts.budgets import Budget, requested_caps
from workflows.contracts.runs import Mode, OnBudget, RunRequest


class BudgetWidened(Permanent):
    """A request may tighten the agent's budget, but not widen it."""


class ModeLoosened(Permanent):
    """A request may tighten the agent's mode, but not loosen it."""


@dataclass(frozen=True)
class AdmissionTerms:
    """The terms of one run."""

    agent: AgentVersion
    budget: Budget
    mode: Mode
    on_budget: OnBudget
    ancestors: Ancestors = NO_ANCESTORS

    @classmethod
    def of_request(cls, agent: AgentVersion, request: RunRequest, caps: tuple[Rule, ...]) -> Self:
        """The terms of a requested run. `caps`: the caps of the operator and the tenant.

        Raises BudgetWidened, ModeLoosened if the request asks for more than the agent has. A budget above `caps` is
        reduced to them without an error, so that an agent's definition need not fit every tenant.
        """
        definition = agent.definition
        allowed = default_budget(caps).model_copy(update=requested_caps(definition.budget))
        try:
            tightened = allowed.tightened(request.budget)
        except ValueError as error:
            raise BudgetWidened(f"{definition.name}: {error}") from None
        mode = request.mode or definition.mode
        if STRICTNESS.index(mode) > STRICTNESS.index(definition.mode):
            raise ModeLoosened(f"{definition.name} runs in mode {definition.mode}; {mode} would be looser")
        # The run pauses only if both the agent and the request say so: somebody must be there to resume it.
        on_budget: OnBudget = "stop" if "stop" in (definition.on_budget, request.on_budget) else "pause"
        return cls(agent, budget_within(tightened, _all_caps(caps, agent)), mode, on_budget)

    @classmethod
    def of_delegated(cls, agent: AgentVersion, delegated: Delegated, caps: tuple[Rule, ...]) -> Self:
        """The terms of a sub-agent's run. It never pauses at its budget: that is a share of its parent's budget, so
        nobody could add to it alone.
        """
        budget = budget_within(delegated.budget, _all_caps(caps, agent))
        return cls(agent, budget, delegated.mode, "stop", delegated.ancestors)

    def with_calls(self, calls: int) -> Self:
        """The same terms, with a budget for `calls` calls, one in each step, and a step for the answer."""
        most = {"tool_calls": calls + 1, "steps": calls + 1}
        return replace(self, budget=self.budget.model_copy(update=most))

    def with_alarms(self, typical: int | None, platform: AlarmFactors) -> Self:
        """The same terms, with cost alarms. `typical`: the typical cost of the agent's runs in micro-USD."""
        return replace(self, budget=with_alarms(self.budget, typical, platform.of(self.agent.definition.alarms)))


def _all_caps(caps: tuple[Rule, ...], agent: AgentVersion) -> list[Rule]:
    return [*caps, *(cap.rule for cap in agent.definition.caps)]
