"""Declared facts about a tool, and the tier that follows from them. A tier is derived, never declared.

What is not declared counts as the strictest: an undeclared effect is `admin`, an undeclared output `untrusted`.
"""

from dataclasses import dataclass, field
from typing import Literal

from activities.tools.contracts import ContractName
from workflows.contracts.calls import Tier

Effect = Literal["read", "write", "send", "money", "exec", "admin"]
Output = Literal["trusted", "untrusted"]
Sensitive = Literal["recipient", "url", "host", "path", "account", "principal", "amount", "sql", "secret"]

# A write that names one of these reaches out of the tenant's own systems.
LEAVES_THE_HOUSE: frozenset[str] = frozenset(("recipient", "url", "host"))


@dataclass(frozen=True)
class Facts:
    """What a tool's author declares. `undo` names the tool that takes an effect back."""

    effect: Effect = "admin"
    contract: ContractName = "irreversible"
    output: Output = "untrusted"
    undo: str | None = None
    sensitive: dict[str, Sensitive] = field(default_factory=dict)


def tier(facts: Facts) -> Tier:
    """T0 read trusted, T1 read untrusted, T2 reversible write, T3 irreversible or external, T4 money and identity."""
    match facts.effect:
        case "read":
            return "T0" if facts.output == "trusted" else "T1"
        case "write":
            external = LEAVES_THE_HOUSE.intersection(facts.sensitive.values())
            return "T2" if facts.undo and not external else "T3"
        case "send" | "exec":
            return "T3"
        case "money" | "admin":
            return "T4"
