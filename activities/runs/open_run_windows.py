"""What a run holds for as long as it is open: its running slot and its active minutes. Pure."""

import math

from activities.agents.versions import AgentVersion
from activities.ledger.caps import DEFAULTS, budget_rules, stored_rules
from activities.ledger.windows import Spender, Use, Window, windows_for
from workflows.contracts.budgets import Budget, Spent
from workflows.contracts.runs import OpenRequest

SECONDS = 10 * 365 * 86_400  # it is given back when the run closes, and by the reaper if that does not come to pass


def run_windows(request: OpenRequest, agent: AgentVersion, budget: Budget, caps: str | None) -> list[Window]:
    """The windows that an open run reserves from. Raises CapReached: it asks for more than one run may have."""
    asked = request.request
    spender = Spender(request.run_id, asked.agent, asked.tenant, asked.requester)
    own = [cap.rule for cap in agent.definition.caps]
    rules = [*DEFAULTS, *stored_rules(caps), *own, *budget_rules(budget)]
    return windows_for(spender, Use({"slots": 1, "minutes": budget.minutes}), rules)


def minutes_used(spent: Spent) -> int | None:
    """Active minutes, begun ones included; None where nobody counted: the run was closed by someone else."""
    return math.ceil(spent.seconds / 60) if spent.seconds else None
