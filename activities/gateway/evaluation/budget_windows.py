"""The ledger windows that a call reserves from, by its evaluation and the caps in force. Pure."""

import json
from collections.abc import Iterator
from functools import lru_cache

from activities.gateway.evaluation.checks import EvaluatedCall
from activities.ledger.ancestor_windows import Ancestor, ancestor_windows
from activities.ledger.caps import DEFAULTS, AgentCap, Rule, call_class, grant_rule, rules_of_run, stored_rules
from activities.ledger.windows import Spender, Window, call_use, windows_for
from activities.tools.registry import BUILTIN


def windows_for_call(judged: EvaluatedCall) -> list[Window]:
    """Every window that the call needs. Raises CapReached: it is too large by itself, or cannot be counted."""
    call = judged.call
    assert call.spec
    if call.spec.name in BUILTIN:
        return []  # they look at the run itself and touch nothing
    facts, grant = call.facts, judged.evaluation.grant
    use = call_use(
        facts.tool,
        call_class(call.spec.facts.effect, judged.tier),
        call.spec.facts,
        json.loads(facts.effective_arguments),
        call.spec.schema,
    )
    per_day = grant.per_day if grant else None
    rules = _rules(use.classes, facts.caps, facts.budget, call.agent.definition.caps, facts.tool, per_day)
    spender = Spender(facts.run_id, facts.agent, facts.tenant, facts.requester)
    return [
        *windows_for(spender, use, rules),
        *ancestor_windows(spender, use, stored_rules(facts.caps), _ancestors(judged)),
    ]


@lru_cache(maxsize=512)  # of a run they are the same at every call, until someone sets a cap
def _rules(
    classes: tuple[str, ...], caps: str | None, budget: str, own: tuple[AgentCap, ...], tool: str, per_day: int | None
) -> tuple[Rule, ...]:
    """The rules that a call of these classes counts against."""
    granted = () if per_day is None else (grant_rule(tool, per_day),)
    return tuple(rule for rule in (*DEFAULTS, *rules_of_run(caps, own, budget), *granted) if rule.call_class in classes)


def _ancestors(judged: EvaluatedCall) -> Iterator[Ancestor]:
    """The runs above, each with what its agent's definition says of this call."""
    facts = judged.call.facts
    for run_id, agent, evaluation in zip(facts.lineage or (), judged.call.above, judged.above, strict=True):
        caps, grant = agent.definition.caps, evaluation.grant
        granted = (grant_rule(facts.tool, grant.per_day),) if grant and grant.per_day is not None else ()
        yield Ancestor(run_id, agent.definition.name, (*(cap.rule for cap in caps), *granted))
