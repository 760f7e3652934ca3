"""Verdicts on a call, allow, ask or deny, each with its rule and its reason."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Allow:
    """The call may be performed."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Ask:
    """People must approve the call."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Deny:
    """The call is not performed. `correctable`: the model made a mistake and may try again without it."""

    rule: str
    reason: str
    correctable: bool = False


Verdict = Allow | Ask | Deny


def strictness(verdict: Verdict) -> int:
    """0 for Allow, 1 for Ask, 2 for Deny."""
    match verdict:
        case Allow():
            return 0
        case Ask():
            return 1
        case Deny():
            return 2


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """The strictest verdict, the first of equals. Without any verdict a Deny, because no control may be missing."""
    return max(verdicts, key=strictness, default=Deny("policy.silent", "no rule gave a verdict on this call"))
