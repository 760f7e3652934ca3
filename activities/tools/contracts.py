"""Effect contracts: what a second attempt may do when the first one's outcome is not known.

| contract | a claim without a result means |
| --- | --- |
| Pure | nothing can have happened: run it again |
| Idempotent | run it again with the same key: the target recognises it |
| Checkable | ask the target with the probe, then settle or run it |
| Irreversible | nobody knows: a person says what happened |
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

ContractName = Literal["pure", "idempotent", "checkable", "irreversible"]
Probe = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Pure:
    """No effect on the world: safe to run any number of times."""

    name: ContractName = "pure"


@dataclass(frozen=True)
class Idempotent:
    """The target performs each `ctx.idempotency_key` once and answers repeats as it answered first."""

    name: ContractName = "idempotent"


@dataclass(frozen=True)
class Checkable:
    """The target can be asked. `probe(ctx, **arguments)` returns the tool's result if it happened, None if it did not.

    A probe that cannot tell raises; it is asked again a few times, then a person is.
    """

    probe: Probe
    name: ContractName = "checkable"


@dataclass(frozen=True)
class Irreversible:
    """Neither repeatable nor checkable. Never retried blindly."""

    name: ContractName = "irreversible"


Contract = Pure | Idempotent | Checkable | Irreversible
