"""The checks of a call, in their one order. Each gives a verdict that ends the matter, or None: the next one decides.

offered -> readable -> pinned -> schema -> tier and mode. (Scope, typed constraints, provenance and tenant policy have
their place between schema and tier.) Pure: the facts are all there is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from activities.agents.versions import AgentVersion, PinnedTool
from activities.gateway.facts import CallFacts
from activities.policy.tiers import decide
from activities.policy.verdicts import Deny, Verdict
from activities.tools.errors import InvalidArguments
from activities.tools.spec import ToolSpec


@dataclass(frozen=True)
class Candidate:
    """A call with the tool it would use; `pinned` and `spec` are None for a tool the agent does not have."""

    facts: CallFacts
    agent: AgentVersion
    pinned: PinnedTool | None
    spec: ToolSpec | None


Check = Callable[[Candidate], Verdict | None]


def is_offered(call: Candidate) -> Verdict | None:
    """The agent's definition offers this tool."""
    if call.pinned is not None and call.spec is not None:
        return None
    names = ", ".join(sorted(call.agent.by_name))
    return Deny("tool.not-offered", f"there is no tool {call.facts.tool!r}; you have: {names}", correctable=True)


def is_readable(call: Candidate) -> Verdict | None:
    """The arguments could be read as the model sent them."""
    if call.facts.invalid is None:
        return None
    return Deny("arguments.unreadable", f"the arguments could not be read: {call.facts.invalid}", correctable=True)


def is_pinned(call: Candidate) -> Verdict | None:
    """The tool this worker has is the tool the agent version was published with."""
    assert call.pinned and call.spec
    if call.pinned.pinned_hash == call.spec.pinned_hash:
        return None
    reason = f"{call.facts.tool} is not the tool this agent was published with; publish the agent again to accept it"
    return Deny("tool.changed", reason)


def fits_schema(call: Candidate) -> Verdict | None:
    """The arguments, an approver's edit included, fit the tool's schema."""
    assert call.spec
    try:
        call.spec.arguments.validate(call.facts.effective_arguments)
    except InvalidArguments as error:
        if call.facts.edited:
            by = call.facts.decided_by
            return Deny(
                "approval.edit-invalid", f"the arguments {by} gave instead do not fit {call.facts.tool}: {error}"
            )
        return Deny("arguments.invalid", f"the arguments do not fit {call.facts.tool}: {error}", correctable=True)
    return None


def fits_tier(call: Candidate) -> Verdict:
    """What the tool's tier does in the run's mode."""
    assert call.spec
    return decide(call.spec.facts, call.facts.mode)


CHECKS: tuple[Check, ...] = (is_offered, is_readable, is_pinned, fits_schema)


def judge(call: Candidate) -> Verdict:
    """The verdict about a call. Anything a check raises is a Deny: a broken control means no."""
    try:
        for check in CHECKS:
            if verdict := check(call):
                return verdict
        return fits_tier(call)
    except Exception as error:
        return Deny("policy.error", f"the policy could not be evaluated ({type(error).__name__}); nothing was done")
