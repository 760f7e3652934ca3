"""Finds the windows of a sub-agent's ancestors that its calls reserve from as well. Pure.

The ancestor runs' own budgets are left out, because the sub-agent's share of them is reserved already. The windows of
tenant, requester and destination are left out, because the sub-agent itself reserves from them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from activities.ledger.budget_share import is_reserved_by_share
from activities.ledger.caps import DEFAULTS, Rule
from activities.ledger.windows import Spender, Use, Window, windows_for


@dataclass(frozen=True)
class Ancestor:
    """An ancestor run. `own`: the rules that its agent's definition has for this use."""

    run_id: str
    agent: str
    own: tuple[Rule, ...]


def ancestor_windows(
    spender: Spender, use: Use, stored: tuple[Rule, ...], ancestors: Iterable[Ancestor]
) -> Iterator[Window]:
    """The windows of the ancestors for this use. An agent's windows are yielded once, even if it occurs repeatedly.

    Raises CapReached.
    """
    seen = {spender.agent}
    for each in ancestors:
        agent_rules = () if each.agent in seen else (*DEFAULTS, *stored, *each.own)
        seen.add(each.agent)
        rules = [rule for rule in agent_rules if rule.scope == "agent"]
        rules += [rule for rule in (*stored, *each.own) if rule.scope == "run" and not is_reserved_by_share(rule)]
        yield from windows_for(Spender(each.run_id, each.agent, spender.tenant, spender.requester), use, rules)
