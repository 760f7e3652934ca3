"""The terms on which a run is admitted: agent version, budget, mode, and its place below other runs. Pure.

A request may tighten what its agent has, and gets no more than operator and tenant allow.
"""

from dataclasses import dataclass, replace
from typing import Self

from activities.agents.versions import AgentVersion
from activities.budgets.typical_cost import AlarmFactors, with_alarms
from activities.errors import Permanent
from activities.ledger.caps import Rule
from activities.ledger.effective_caps import budget_within, default_budget
from activities.policy.engine.modes import STRICTNESS
from activities.runs.delegated_runs import NOWHERE, Ancestors, Delegated
from workflows.contracts.budgets import Budget, requested_caps
from workflows.contracts.runs import Mode, OnBudget, RunRequest


class BudgetWidened(Permanent):
    """A request may tighten the agent's budget, never widen it."""


class ModeLoosened(Permanent):
    """A request may tighten the agent's mode, never loosen it."""


@dataclass(frozen=True)
class AdmissionTerms:
    """The terms of one run."""

    agent: AgentVersion
    budget: Budget
    mode: Mode
    on_budget: OnBudget
    line: Ancestors = NOWHERE

    @classmethod
    def of_request(cls, agent: AgentVersion, request: RunRequest, caps: tuple[Rule, ...]) -> Self:
        """Those of a run that somebody asks for; `caps`: what operator and tenant allow.

        Who asks for more than the agent has is told so: raises BudgetWidened, ModeLoosened. Who asks for more than
        operator or tenant allow gets what they allow: an agent need not know whose runs it will be.
        """
        definition = agent.definition
        allowed = default_budget(caps).model_copy(update=requested_caps(definition.budget))
        try:
            asked = allowed.tightened(request.budget)
        except ValueError as error:
            raise BudgetWidened(f"{definition.name}: {error}") from None
        mode = request.mode or definition.mode
        if STRICTNESS.index(mode) > STRICTNESS.index(definition.mode):
            raise ModeLoosened(f"{definition.name} runs in mode {definition.mode}; {mode} would be looser")
        # It pauses only if both its agent and who asked for it think that somebody is there to let it go on.
        on_budget: OnBudget = "stop" if "stop" in (definition.on_budget, request.on_budget) else "pause"
        return cls(agent, budget_within(asked, _with_own(caps, agent)), mode, on_budget)

    @classmethod
    def of_delegated(cls, agent: AgentVersion, delegated: Delegated, caps: tuple[Rule, ...]) -> Self:
        """Those of a sub-agent. It never pauses for its budget: that was carved out of another run's, and nobody could
        add to it without adding to that one.
        """
        budget = budget_within(delegated.budget, _with_own(caps, agent))
        return cls(agent, budget, delegated.mode, "stop", delegated.line)

    def with_calls(self, calls: int) -> Self:
        """The same, for exactly so many calls, one in each step, and a last word."""
        most = {"tool_calls": calls + 1, "steps": calls + 1}
        return replace(self, budget=self.budget.model_copy(update=most))

    def with_alarms(self, typical: int | None, platform: AlarmFactors) -> Self:
        """The same, with alarms by what runs of this agent typically cost, in micro-USD."""
        return replace(self, budget=with_alarms(self.budget, typical, platform.of(self.agent.definition.alarms)))


def _with_own(caps: tuple[Rule, ...], agent: AgentVersion) -> list[Rule]:
    return [*caps, *(cap.rule for cap in agent.definition.caps)]
