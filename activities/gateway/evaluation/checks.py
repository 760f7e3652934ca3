"""The checks of one call, in order: each returns the verdict that ends the matter, or None.

offered -> readable -> pinned -> schema -> who confirms -> the policy engine: grants, provenance and taint, tier and
mode, suspect data, policies of platform, tenant and agent. Pure: what it is given is all there is.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from activities.agents.versions import AgentVersion, PinnedTool
from activities.gateway.facts import CallFacts
from activities.policy.cedar.policy import PolicyRequest
from activities.policy.cedar.store import Effective
from activities.policy.engine import evaluation
from activities.policy.engine.evaluation import Evaluation
from activities.policy.engine.verdicts import Allow, Ask, Deny, Verdict, strictest
from activities.policy.values.provenance import Evidence
from activities.storage.canonical import sha256_hex
from activities.tools.errors import InvalidArguments
from activities.tools.spec import ToolSpec
from workflows.contracts.calls import Tier
from workflows.contracts.events import VerdictGiven


@dataclass(frozen=True)
class Candidate:
    """A call with the tool it would use; `pinned` and `spec` are None for a tool the agent does not have."""

    facts: CallFacts
    agent: AgentVersion
    pinned: PinnedTool | None
    spec: ToolSpec | None
    above: tuple[AgentVersion, ...] = ()  # the agents of the runs above its run, the first one first
    used_seconds: float = 0.0  # active time of its run so far

    def given(self, verdict: Verdict, tier: Tier | None = None) -> VerdictGiven:
        """The verdict on it as the trace has it; `tier`: that of its arguments, where they were looked at."""
        words = {Allow: "allow", Ask: "ask", Deny: "deny"}
        return VerdictGiven.model_validate(
            {
                "call_id": self.facts.call_id,
                "tool": self.facts.tool[:64],
                "verdict": words[type(verdict)],
                "rule": verdict.rule,
                "reason": verdict.reason,
                "tier": tier or (self.spec.tier if self.spec else None),
                "policy_version": self.facts.policy_version(),
            }
        )


@dataclass(frozen=True)
class PolicyContext:
    """What a call is evaluated with, besides itself."""

    evidence: Evidence
    policies: Effective


@dataclass(frozen=True)
class EvaluatedCall:
    """A call and its evaluation; `taint` is the digest of what its values were traced to."""

    call: Candidate
    evaluation: Evaluation
    above: tuple[Evaluation, ...] = ()  # the same call, evaluated for each agent above

    @property
    def verdict(self) -> Verdict:
        """Allow, Ask or Deny."""
        return self.evaluation.verdict

    @property
    def tier(self) -> Tier:
        """How dangerous this very call is: a read of a place nobody listed is an external send."""
        return self.evaluation.tier

    @property
    def taint(self) -> str:
        """What an approval is bound to besides the call: another origin of a value, and it fits no longer."""
        traced = [[item.argument, item.kind, item.value, item.origin] for item in self.evaluation.traced]
        return sha256_hex([self.evaluation.tainted, self.evaluation.suspect, traced])[:16]


ARGUMENTS_LIMIT = 256_000  # bytes of a call's arguments as JSON; what every later check has to read
Check = Callable[[Candidate], Verdict | None]


def is_offered(call: Candidate) -> Verdict | None:
    """The agent's definition offers this tool."""
    if call.pinned is not None and call.spec is not None:
        return None
    if call.pinned is not None:
        reason = f"{call.facts.tool} is not in this worker's code, which is older than the agent: restart the worker"
        return Deny("tool.not-here", reason)
    names = ", ".join(sorted(call.agent.by_name))
    return Deny("tool.not-offered", f"there is no tool {call.facts.tool!r}; you have: {names}", correctable=True)


def is_readable(call: Candidate) -> Verdict | None:
    """The arguments could be read as the model sent them, and are not beyond all measure."""
    if len(call.facts.effective_arguments) > ARGUMENTS_LIMIT:  # canonical JSON is ASCII: characters are bytes
        reason = f"the arguments are {len(call.facts.effective_arguments)} bytes; at most {ARGUMENTS_LIMIT} are taken"
        return Deny("arguments.too-large", reason, correctable=not call.facts.edited)
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


def names_who_confirms(call: Candidate) -> Verdict | None:
    """Whom a call is about is named, where they have to confirm it: else nobody in particular would."""
    confirm = call.agent.definition.approvals.of(call.facts.tool).confirm
    for agent in call.above:
        if agent.definition.approvals.of(call.facts.tool).confirm not in (None, confirm):
            reason = f"{agent.definition.name}, for which this is done, has each call of it confirmed: do it there"
            return Deny("delegation.confirm", reason)
    if confirm is None:
        return None
    subject = json.loads(call.facts.effective_arguments).get(confirm)
    if isinstance(subject, str) and subject.strip():
        return None
    reason = f"{confirm!r} names who has to confirm this call, and it names nobody"
    return Deny("approval.no-subject", reason, correctable=not call.facts.edited)


CHECKS: tuple[Check, ...] = (is_offered, is_readable, is_pinned, fits_schema, names_who_confirms)


def is_in_order(call: Candidate) -> Verdict | None:
    """The checks that need nothing but the call. Anything a check raises is a Deny: a broken control means no."""
    try:
        return next((verdict for check in CHECKS if (verdict := check(call))), None)
    except Exception as error:
        return _broken(error)


def evaluate(call: Candidate, around: PolicyContext, arguments: str | None = None) -> EvaluatedCall:
    """Evaluate a call, or other `arguments` for it. Whatever raises is a Deny."""
    if verdict := is_in_order(call):
        return deny_out_of_order(call, verdict)
    return evaluate_in_order(call, around, arguments)


def deny_out_of_order(call: Candidate, verdict: Verdict) -> EvaluatedCall:
    """Deny a call that failed a check of the call alone."""
    return EvaluatedCall(call, Evaluation(verdict, call.spec.tier if call.spec else "T4"))


def evaluate_in_order(call: Candidate, around: PolicyContext, arguments: str | None = None) -> EvaluatedCall:
    """Evaluate a call that passed `is_in_order`. Whatever raises is a Deny."""
    assert call.spec
    try:
        given = json.loads(arguments if arguments is not None else call.facts.effective_arguments)
        own = _evaluation(call, around, given)
        above = tuple(_evaluation(replace(call, agent=agent), around, given) for agent in call.above)
        return EvaluatedCall(call, _strictest(own, above), above)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Cedar's Rust is no Exception
        return EvaluatedCall(call, Evaluation(_broken(error), call.spec.tier))


def _strictest(own: Evaluation, above: Sequence[Evaluation]) -> Evaluation:
    """A sub-agent may do only what every agent above it may do too: the strictest verdict and the highest tier."""
    if not above:
        return own
    heard = (own, *above)
    return replace(
        own,
        verdict=strictest(each.verdict for each in heard),
        tier=max((each.tier for each in heard), key=evaluation.TIERS.index),
        asks=tuple(sorted({rule for each in heard for rule in each.asks})),
    )


def _evaluation(call: Candidate, around: PolicyContext, arguments: Mapping[str, Any]) -> Evaluation:
    facts, definition = call.facts, call.agent.definition
    assert call.spec
    rule = definition.approvals.of(facts.tool)
    asked = evaluation.Call(
        tool=facts.tool,
        facts=call.spec.facts,
        arguments=arguments,
        evidence=around.evidence,
        mode=facts.mode,
        grants=definition.grants,
        acts_outside=call.agent.acts_outside,
        always_ask=rule.always or rule.confirm is not None,
        money_floor=around.policies.money_floor,
        pinned_hash=call.spec.pinned_hash,
    )

    def policies(view: Evaluation) -> Verdict:
        return around.policies.decide(_question(call, asked, view), call.agent.policy)

    return evaluation.evaluate(asked, policies)


def _question(call: Candidate, asked: evaluation.Call, view: Evaluation) -> PolicyRequest:
    return PolicyRequest(
        agent=call.agent.definition.name,  # or one above it: what that one may not do, it cannot have done
        tenant=call.facts.tenant,
        tool=asked.tool,
        arguments=asked.arguments,
        tier=view.tier,
        effect=asked.facts.effect,
        mode=asked.mode,
        requester=call.facts.requester or "",
        tainted=view.tainted,
        suspect=view.suspect is not None,
        origins=view.origins,
        input_schema=call.spec.schema if call.spec else {},
    )


def deny_slow_evaluation(judged: EvaluatedCall, seconds: float) -> EvaluatedCall:
    """Deny a call whose evaluation took too long: a control that hangs counts as missing."""
    verdict = Deny("policy.slow", f"the policy took {seconds:.1f} s to answer; nothing was done")
    return replace(judged, evaluation=replace(judged.evaluation, verdict=verdict))


def _broken(error: BaseException) -> Verdict:
    return Deny("policy.error", f"the policy could not be evaluated ({type(error).__name__}); nothing was done")
