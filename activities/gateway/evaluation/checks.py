"""The checks of one call, in order: each returns a Deny, or None if the call passes. Pure: no clock, no I/O.

offered -> readable -> pinned -> fits the schema -> names who confirms -> the policy engine, which checks grants,
provenance and taint, tier and mode, suspect data, and the policies of platform, tenant and agent.
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
    """A call with its agent and tool.

    `pinned` is None if the agent does not have the tool, `spec` if this worker's code does not have it.
    """

    facts: CallFacts
    agent: AgentVersion
    pinned: PinnedTool | None
    spec: ToolSpec | None
    above: tuple[AgentVersion, ...] = ()  # the agents of the ancestor runs, the topmost first
    used_seconds: float = 0.0  # active time of the run so far

    def given(self, verdict: Verdict, tier: Tier | None = None) -> VerdictGiven:
        """The event for a verdict on this call. `tier`: the tier with its arguments; by default the tool's own tier."""
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
    """What a call is evaluated with: the evidence and the policies in force."""

    evidence: Evidence
    policies: Effective


@dataclass(frozen=True)
class EvaluatedCall:
    """A call and its evaluation."""

    call: Candidate
    evaluation: Evaluation
    above: tuple[Evaluation, ...] = ()  # the same call, evaluated for each ancestor agent

    @property
    def verdict(self) -> Verdict:
        """Allow, Ask or Deny."""
        return self.evaluation.verdict

    @property
    def tier(self) -> Tier:
        """The tier of the call with these arguments; reading an unlisted destination counts as an external send."""
        return self.evaluation.tier

    @property
    def taint(self) -> str:
        """Digest of the taint and the origins of the values; an approval no longer fits if it changes."""
        traced = [[item.argument, item.kind, item.value, item.origin] for item in self.evaluation.traced]
        return sha256_hex([self.evaluation.tainted, self.evaluation.suspect, traced])[:16]


ARGUMENTS_LIMIT = 256_000  # bytes of a call's arguments as JSON; bounds the work of all later checks
Check = Callable[[Candidate], Verdict | None]


def is_offered(call: Candidate) -> Verdict | None:
    """Deny a tool that the agent's definition does not offer, or that this worker does not have."""
    if call.pinned is not None and call.spec is not None:
        return None
    if call.pinned is not None:
        reason = f"{call.facts.tool} is not in this worker's code, which is older than the agent: restart the worker"
        return Deny("tool.not-here", reason)
    names = ", ".join(sorted(call.agent.by_name))
    return Deny("tool.not-offered", f"there is no tool {call.facts.tool!r}; you have: {names}", correctable=True)


def is_readable(call: Candidate) -> Verdict | None:
    """Deny arguments that could not be parsed or are larger than ARGUMENTS_LIMIT."""
    if len(call.facts.effective_arguments) > ARGUMENTS_LIMIT:  # canonical JSON is ASCII: characters are bytes
        reason = f"the arguments are {len(call.facts.effective_arguments)} bytes; at most {ARGUMENTS_LIMIT} are taken"
        return Deny("arguments.too-large", reason, correctable=not call.facts.edited)
    if call.facts.invalid is None:
        return None
    return Deny("arguments.unreadable", f"the arguments could not be read: {call.facts.invalid}", correctable=True)


def is_pinned(call: Candidate) -> Verdict | None:
    """Deny a tool that differs from the one that the agent version was published with."""
    assert call.pinned and call.spec
    if call.pinned.pinned_hash == call.spec.pinned_hash:
        return None
    reason = f"{call.facts.tool} is not the tool this agent was published with; publish the agent again to accept it"
    return Deny("tool.changed", reason)


def fits_schema(call: Candidate) -> Verdict | None:
    """Deny arguments, also those of an approver's edit, that do not fit the tool's schema."""
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
    """Deny a call that its subject must confirm, if its arguments do not name that subject.

    Also denies a call that an ancestor agent wants confirmed by a subject in another argument.
    """
    confirm = call.agent.definition.approvals.of(call.facts.tool).confirm
    for agent in call.above:
        if agent.definition.approvals.of(call.facts.tool).confirm not in (None, confirm):
            reason = f"{agent.definition.name}, which delegated this, must itself make the call and have it confirmed"
            return Deny("delegation.confirm", reason)
    if confirm is None:
        return None
    subject = json.loads(call.facts.effective_arguments).get(confirm)
    if isinstance(subject, str) and subject.strip():
        return None
    reason = f"{confirm!r} must name who has to confirm this call, and it names nobody"
    return Deny("approval.no-subject", reason, correctable=not call.facts.edited)


CHECKS: tuple[Check, ...] = (is_offered, is_readable, is_pinned, fits_schema, names_who_confirms)


def is_in_order(call: Candidate) -> Verdict | None:
    """Run the checks that need nothing but the call: the first Deny, or None. If a check raises, the call is denied."""
    try:
        return next((verdict for check in CHECKS if (verdict := check(call))), None)
    except Exception as error:
        return _broken(error)


def evaluate(call: Candidate, context: PolicyContext, arguments: str | None = None) -> EvaluatedCall:
    """Evaluate a call, or the same call with other `arguments`. Any error is a Deny."""
    if verdict := is_in_order(call):
        return deny_out_of_order(call, verdict)
    return evaluate_in_order(call, context, arguments)


def deny_out_of_order(call: Candidate, verdict: Verdict) -> EvaluatedCall:
    """Deny a call that failed a check of the call alone."""
    return EvaluatedCall(call, Evaluation(verdict, call.spec.tier if call.spec else "T4"))


def evaluate_in_order(call: Candidate, context: PolicyContext, arguments: str | None = None) -> EvaluatedCall:
    """Evaluate a call that passed `is_in_order`. Any error is a Deny."""
    assert call.spec
    try:
        given = json.loads(arguments if arguments is not None else call.facts.effective_arguments)
        own = _evaluate_for_agent(call, context, given)
        above = tuple(_evaluate_for_agent(replace(call, agent=agent), context, given) for agent in call.above)
        return EvaluatedCall(call, _strictest(own, above), above)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Cedar's Rust code is not a subclass of Exception
        return EvaluatedCall(call, Evaluation(_broken(error), call.spec.tier))


def _strictest(own: Evaluation, above: Sequence[Evaluation]) -> Evaluation:
    """Combine evaluations: the strictest verdict and the highest tier win.

    So a sub-agent may do only what every ancestor agent may do.
    """
    if not above:
        return own
    evaluations = (own, *above)
    return replace(
        own,
        verdict=strictest(each.verdict for each in evaluations),
        tier=max((each.tier for each in evaluations), key=evaluation.TIERS.index),
        asks=tuple(sorted({rule for each in evaluations for rule in each.asks})),
    )


def _evaluate_for_agent(call: Candidate, context: PolicyContext, arguments: Mapping[str, Any]) -> Evaluation:
    facts, definition = call.facts, call.agent.definition
    assert call.spec
    rule = definition.approvals.of(facts.tool)
    asked = evaluation.Call(
        tool=facts.tool,
        facts=call.spec.facts,
        arguments=arguments,
        evidence=context.evidence,
        mode=facts.mode,
        grants=definition.grants,
        acts_outside=call.agent.acts_outside,
        always_ask=rule.always or rule.confirm is not None,
        money_floor=context.policies.money_floor,
        pinned_hash=call.spec.pinned_hash,
    )

    def policies(so_far: Evaluation) -> Verdict:
        return context.policies.decide(_policy_request(call, asked, so_far), call.agent.policy)

    return evaluation.evaluate(asked, policies)


def _policy_request(call: Candidate, asked: evaluation.Call, so_far: Evaluation) -> PolicyRequest:
    return PolicyRequest(
        agent=call.agent.definition.name,  # the agent or an ancestor: `evaluate_in_order` asks for each of them
        tenant=call.facts.tenant,
        tool=asked.tool,
        arguments=asked.arguments,
        tier=so_far.tier,
        effect=asked.facts.effect,
        mode=asked.mode,
        requester=call.facts.requester or "",
        tainted=so_far.tainted,
        suspect=so_far.suspect is not None,
        origins=so_far.origins,
        input_schema=call.spec.schema if call.spec else {},
    )


def deny_slow_evaluation(evaluated: EvaluatedCall, seconds: float) -> EvaluatedCall:
    """Deny a call whose evaluation took too long: a control that hangs counts as broken."""
    verdict = Deny("policy.slow", f"the policy took {seconds:.1f} s to answer; nothing was done")
    return replace(evaluated, evaluation=replace(evaluated.evaluation, verdict=verdict))


def _broken(error: BaseException) -> Verdict:
    return Deny("policy.error", f"the policy could not be evaluated ({type(error).__name__}); nothing was done")
