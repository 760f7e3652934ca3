"""The ledger windows that a call reserves from, by its evaluation and the caps in force. Pure."""

import json
from collections.abc import Iterator
from functools import lru_cache

from activities.gateway.evaluation.checks import EvaluatedCall
from activities.ledger.ancestor_windows import Ancestor, ancestor_windows
from activities.ledger.caps import DEFAULTS, AgentCap, Rule, call_class, grant_rule, rules_of_run, stored_rules
from activities.ledger.windows import Spender, Window, call_use, windows_for
from activities.tools.registry import BUILTIN


def windows_for_call(evaluated: EvaluatedCall) -> list[Window]:
    """Every window that the call reserves from.

    Raises CapReached if the call alone exceeds a cap, or if its use cannot be counted.
    """
    call = evaluated.call
    assert call.spec
    if call.spec.name in BUILTIN:
        return []  # built-in tools only look at their own run
    facts, grant = call.facts, evaluated.evaluation.grant
    use = call_use(
        facts.tool,
        call_class(call.spec.facts.effect, evaluated.tier),
        call.spec.facts,
        json.loads(facts.effective_arguments),
        call.spec.schema,
    )
    per_day = grant.per_day if grant else None
    rules = _rules_for_classes(use.classes, facts.caps, facts.budget, call.agent.definition.caps, facts.tool, per_day)
    spender = Spender(facts.run_id, facts.agent, facts.tenant, facts.requester)
    return [
        *windows_for(spender, use, rules),
        *ancestor_windows(spender, use, stored_rules(facts.caps), _ancestors(evaluated)),
    ]


@lru_cache(maxsize=512)  # the result is the same for every call of a run, until someone sets a cap
def _rules_for_classes(
    classes: tuple[str, ...], caps: str | None, budget: str, own: tuple[AgentCap, ...], tool: str, per_day: int | None
) -> tuple[Rule, ...]:
    """The rules that limit a call of these classes."""
    granted = () if per_day is None else (grant_rule(tool, per_day),)
    return tuple(rule for rule in (*DEFAULTS, *rules_of_run(caps, own, budget), *granted) if rule.call_class in classes)


def _ancestors(evaluated: EvaluatedCall) -> Iterator[Ancestor]:
    """The ancestor runs, each with the caps that its agent's definition sets for this call."""
    facts = evaluated.call.facts
    for run_id, agent, evaluation in zip(facts.lineage or (), evaluated.call.above, evaluated.above, strict=True):
        caps, grant = agent.definition.caps, evaluation.grant
        granted = (grant_rule(facts.tool, grant.per_day),) if grant and grant.per_day is not None else ()
        yield Ancestor(run_id, agent.definition.name, (*(cap.rule for cap in caps), *granted))
