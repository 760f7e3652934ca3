"""What a call would use: the windows of the ledger that it needs, from what was judged and the caps in force. Pure."""

import json

from activities.gateway.checks import Judged
from activities.ledger.caps import DEFAULTS, budget_rules, class_of, grant_rule, stored_rules
from activities.ledger.windows import Spender, Window, call_use, windows_for
from activities.tools.registry import BUILTIN
from workflows.contracts.budgets import Budget


def windows_of(judged: Judged) -> list[Window]:
    """Every window that the call needs. Raises CapReached: it is too large by itself, or cannot be counted."""
    call = judged.call
    assert call.spec
    if call.spec.name in BUILTIN:
        return []  # they look at the run itself and touch nothing
    facts, definition, grant = call.facts, call.agent.definition, judged.judgement.grant
    arguments = json.loads(facts.effective_arguments)
    use = call_use(
        facts.tool, class_of(call.spec.facts.effect, judged.tier), call.spec.facts, arguments, call.spec.schema
    )
    rules = [
        *DEFAULTS,
        *stored_rules(facts.caps),
        *(cap.rule for cap in definition.caps),
        *([grant_rule(facts.tool, grant.per_day)] if grant and grant.per_day is not None else []),
        *budget_rules(Budget.model_validate_json(facts.budget)),
    ]
    return windows_for(Spender(facts.run_id, facts.agent, facts.tenant, facts.requester), use, rules)
