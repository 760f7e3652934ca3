"""Budget windows of the runs and agents above a sub-agent, from which its calls reserve as well. Pure.

A run's own budget is not among them: what was carved out of it is reserved already. Nor are those of tenant, requester
and destination, which the sub-agent itself reserves from.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from activities.ledger.budget_share import is_reserved_by_share
from activities.ledger.caps import DEFAULTS, Rule
from activities.ledger.windows import Spender, Use, Window, windows_for


@dataclass(frozen=True)
class Ancestor:
    """A run above; `own`: what its agent's definition says, for this use."""

    run_id: str
    agent: str
    own: tuple[Rule, ...]


def ancestor_windows(
    spender: Spender, use: Use, stored: tuple[Rule, ...], line: Iterable[Ancestor]
) -> Iterator[Window]:
    """What those above need for this use; each agent once, however often it is in the line. Raises CapReached."""
    seen = {spender.agent}
    for each in line:
        of_agent = () if each.agent in seen else (*DEFAULTS, *stored, *each.own)
        seen.add(each.agent)
        rules = [rule for rule in of_agent if rule.scope == "agent"]
        rules += [rule for rule in (*stored, *each.own) if rule.scope == "run" and not is_reserved_by_share(rule)]
        yield from windows_for(Spender(each.run_id, each.agent, spender.tenant, spender.requester), use, rules)
