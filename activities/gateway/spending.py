"""What a call would use: the windows of the ledger that it needs, from what was judged and the caps in force. Pure."""

import json
from collections.abc import Iterator
from functools import lru_cache

from activities.gateway.checks import Judged
from activities.ledger.caps import DEFAULTS, AgentCap, Rule, class_of, grant_rule, rules_of_run, stored_rules
from activities.ledger.carving import is_carved
from activities.ledger.windows import Spender, Use, Window, call_use, windows_for
from activities.tools.registry import BUILTIN


def windows_of(judged: Judged) -> list[Window]:
    """Every window that the call needs. Raises CapReached: it is too large by itself, or cannot be counted."""
    call = judged.call
    assert call.spec
    if call.spec.name in BUILTIN:
        return []  # they look at the run itself and touch nothing
    facts, grant = call.facts, judged.judgement.grant
    use = call_use(
        facts.tool,
        class_of(call.spec.facts.effect, judged.tier),
        call.spec.facts,
        json.loads(facts.effective_arguments),
        call.spec.schema,
    )
    per_day = grant.per_day if grant else None
    rules = _rules(use.classes, facts.caps, facts.budget, call.agent.definition.caps, facts.tool, per_day)
    spender = Spender(facts.run_id, facts.agent, facts.tenant, facts.requester)
    return [*windows_for(spender, use, rules), *_above(judged, spender, use)]


@lru_cache(maxsize=512)  # of a run they are the same at every call, until someone sets a cap
def _rules(
    classes: tuple[str, ...], caps: str | None, budget: str, own: tuple[AgentCap, ...], tool: str, per_day: int | None
) -> tuple[Rule, ...]:
    """The rules that a call of these classes counts against."""
    granted = () if per_day is None else (grant_rule(tool, per_day),)
    return tuple(rule for rule in (*DEFAULTS, *rules_of_run(caps, own, budget), *granted) if rule.call_class in classes)


def _above(judged: Judged, spender: Spender, use: Use) -> Iterator[Window]:
    """The windows of the runs and agents above: what they may use, they cannot have others use for them.

    The run's own budget is not among them: what was carved out of it is reserved already.
    """
    facts, seen = judged.call.facts, {spender.agent}
    stored = stored_rules(facts.caps)
    for run_id, agent, judgement in zip(facts.lineage or (), judged.call.above, judged.above, strict=True):
        name, grant = agent.definition.name, judgement.grant
        own = [cap.rule for cap in agent.definition.caps]
        of_agent = [*DEFAULTS, *stored, *own] if name not in seen else []
        if grant and grant.per_day is not None and name not in seen:
            of_agent.append(grant_rule(facts.tool, grant.per_day))
        seen.add(name)
        rules = [rule for rule in of_agent if rule.scope == "agent"]
        rules += [rule for rule in (*stored, *own) if rule.scope == "run" and not is_carved(rule)]
        yield from windows_for(Spender(run_id, name, facts.tenant, facts.requester), use, rules)
