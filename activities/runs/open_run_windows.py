"""The windows that a run reserves while it is open: its running slot and its active minutes. Pure."""

import math

from activities.agents.versions import AgentVersion
from activities.ledger.caps import DEFAULTS, budget_rules, stored_rules
from activities.ledger.windows import Spender, Use, Window, windows_for
from workflows.contracts.budgets import Budget, Spent
from workflows.contracts.runs import OpenRequest

SECONDS = 10 * 365 * 86_400  # in practice for ever: only the end of the run, or the reaper, settles this hold


def run_windows(request: OpenRequest, agent: AgentVersion, budget: Budget, caps: str | None) -> list[Window]:
    """The windows that an open run reserves from. Raises CapReached if a single run may not have that much."""
    run_request = request.request
    spender = Spender(request.run_id, run_request.agent, run_request.tenant, run_request.requester)
    agent_rules = [cap.rule for cap in agent.definition.caps]
    rules = [*DEFAULTS, *stored_rules(caps), *agent_rules, *budget_rules(budget)]
    return windows_for(spender, Use({"slots": 1, "minutes": budget.minutes}), rules)


def minutes_used(spent: Spent) -> int | None:
    """Active minutes, rounded up; None if they are not known because the run did not close itself."""
    return math.ceil(spent.seconds / 60) if spent.seconds else None
