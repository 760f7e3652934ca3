"""The facts that a tool declares, and the tier derived from them; a tier is never declared.

The defaults are the strictest values: the effect `admin`, the output `untrusted`.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from activities.tools.contracts import ContractName
from activities.tools.errors import ToolDeclarationError
from workflows.contracts.calls import Tier

Effect = Literal["read", "write", "send", "money", "exec", "admin"]
Output = Literal["trusted", "untrusted"]
Sensitive = Literal["recipient", "url", "host", "path", "account", "principal", "amount", "sql", "secret"]

# A write with an argument of one of these kinds acts on systems outside of the tenant's own.
EXTERNAL_KINDS: frozenset[str] = frozenset(("recipient", "url", "host"))


@dataclass(frozen=True)
class Facts:
    """The declared facts of a tool. Raises ToolDeclarationError.

    `undo` names the tool that undoes the effect. `private`: the result has personal data, credentials or contracts.
    """

    effect: Effect = "admin"
    contract: ContractName = "irreversible"
    output: Output = "untrusted"
    undo: str | None = None
    sensitive: dict[str, Sensitive] = field(default_factory=dict)
    private: bool = False

    def __post_init__(self) -> None:
        _require_one_of("effect", self.effect, Effect)
        _require_one_of("contract", self.contract, ContractName)
        _require_one_of("output", self.output, Output)
        for kind in self.sensitive.values():
            _require_one_of("sensitive", kind, Sensitive)  # a misspelt kind would lower the tier
        if self.effect != "read" and self.contract == "pure":
            raise ToolDeclarationError(f"effect {self.effect!r} cannot be Pure; only a read has no effect")


def tier(facts: Facts) -> Tier:
    """T0 trusted read, T1 untrusted read, T2 reversible write, T3 irreversible or external, T4 money and identity."""
    match facts.effect:
        case "read":
            return "T0" if facts.output == "trusted" else "T1"
        case "write":
            is_external = EXTERNAL_KINDS.intersection(facts.sensitive.values())
            return "T2" if facts.undo and not is_external else "T3"
        case "send" | "exec":
            return "T3"
        case "money" | "admin":
            return "T4"


def _require_one_of(field_name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ToolDeclarationError(f"{field_name} is one of {', '.join(get_args(choices))}, not {value!r}")
