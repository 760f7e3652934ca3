"""Limits of delegation: (where the run stands, its sub-agents) -> None, or a refusal. Pure.

A run counts its own children, and knows its depth and ancestors from when it was opened. Nothing of this comes from a
model's text.
"""

from workflows.contracts.base import WrittenInFull
from workflows.contracts.calls import Refusal

DELEGATE_TOOL = "delegate"


class DelegationCaps(WrittenInFull):
    """How far delegation may go; a definition may only tighten."""

    depth: int = 3  # levels below the first run: deeper down nobody can follow who wanted what
    width: int = 5  # children at work at once: with three levels these are 155 runs at the most
    total: int = 20  # children of one run in its whole life, as many as its tool calls by default

    def tightened(self, other: "DelegationCaps") -> "DelegationCaps":
        """The smaller of both, cap by cap."""
        caps = {name: min(getattr(self, name), getattr(other, name)) for name in type(self).model_fields}
        return self.model_copy(update=caps)


def may_delegate(
    depth: int,
    width: int,
    total: int = 0,
    *,
    task: str = "",
    lineage: tuple[str, ...] = (),
    caps: DelegationCaps = DelegationCaps(),  # noqa: B008 — frozen
) -> Refusal | None:
    """Why a run may not start another child now, or None.

    `depth`: runs above this one, 0 if no agent started it. `width`: its children that are at work. `total`: all it has
    ever started. `task`: digest of the child's agent and goal; `lineage`: those of this run and of the runs above it.
    """
    if depth >= caps.depth:
        return _refusal("depth", f"this run is {depth} levels down, and {caps.depth} are allowed: do it yourself")
    if width >= caps.width:
        return _refusal("width", f"{width} sub-agents are at work, and {caps.width} are allowed: wait for one of them")
    if total >= caps.total:
        return _refusal("total", f"this run has started {total} sub-agents, and {caps.total} are allowed")
    if task and task in lineage:
        return _refusal("circle", "this agent is at work on this very goal already, above this run: do it yourself")
    return None


def _refusal(cap: str, reason: str) -> Refusal:
    return Refusal(rule=f"delegation.{cap}", reason=reason)
