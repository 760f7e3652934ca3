"""A decision about a call: with its rule and its reason, on yes as on no."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Allow:
    """The call may be performed."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Ask:
    """A person must decide about this very call."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Deny:
    """The call is not performed. `correctable`: the model's own mistake, which it may mend and try again."""

    rule: str
    reason: str
    correctable: bool = False


Verdict = Allow | Ask | Deny
