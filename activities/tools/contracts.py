"""Effect contracts: what a second attempt may do if the outcome of the first one is unknown.

| contract | a claim without a result means |
| --- | --- |
| Pure | nothing happened: run it again |
| Idempotent | run it again with the same key, which the target recognises |
| Checkable | ask the target with the probe, then settle the effect or run it |
| Irreversible | the outcome is unknown: a person says what happened |
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

ContractName = Literal["pure", "idempotent", "checkable", "irreversible"]
Probe = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Pure:
    """The tool has no effect, and can run any number of times."""

    name: ContractName = "pure"


@dataclass(frozen=True)
class Idempotent:
    """The target performs each `ctx.idempotency_key` once, and answers repeats with the first answer."""

    name: ContractName = "idempotent"


@dataclass(frozen=True)
class Checkable:
    """`probe(ctx, **arguments)` asks the target: the tool's result if the effect happened, None if it did not.

    A probe that cannot tell raises. The gateway repeats it a few times, and then asks a person.
    """

    probe: Probe
    name: ContractName = "checkable"


@dataclass(frozen=True)
class Irreversible:
    """The effect can neither be repeated nor checked. After an unknown outcome it is never retried automatically."""

    name: ContractName = "irreversible"


Contract = Pure | Idempotent | Checkable | Irreversible
