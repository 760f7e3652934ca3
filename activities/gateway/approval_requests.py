"""Opens approvals for calls: who must approve, until when, bound to which digest; sends one-time codes."""

import importlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from activities.agents.definition import ApprovalRule
from activities.approvals.one_time_codes import code_hash
from activities.gateway.digest import approval_id_for
from activities.gateway.evaluation.checks import Candidate, EvaluatedCall
from activities.gateway.facts import SQL
from activities.storage.canonical import canonical_json, sha256_hex
from activities.storage.database import Database
from activities.storage.trace import Trace
from activities.tools.context import ToolContext
from workflows.contracts.calls import Tier
from workflows.contracts.events import VerdictGiven

CODE_DIGITS = 8  # with five tries, one guess in twenty million
PEOPLE_FOR_T4 = 2


@dataclass(frozen=True)
class ApprovalTerms:
    """How many people, with which roles, must approve a call, and until when."""

    needed: int
    rule: ApprovalRule
    expires_at: datetime
    escalates_at: datetime | None
    subject: str | None
    repeat_most: int

    @property
    def reviewer(self) -> str | None:
        """The reviewing agent, if several people are needed: it may count as one of them."""
        return self.rule.reviewer if self.needed > 1 else None


def approval_terms(evaluated: EvaluatedCall, now: datetime) -> ApprovalTerms:
    """The terms for a call: those of the rule for its tool; a T4 call always needs at least two people."""
    call = evaluated.call
    rules = call.agent.definition.approvals
    rule = rule_for(call)
    subject = json.loads(call.facts.effective_arguments)[rule.confirm] if rule.confirm else None
    return ApprovalTerms(
        needed=people_needed(rule, evaluated.tier),
        rule=rule,
        expires_at=now + timedelta(minutes=rules.expire_minutes),
        escalates_at=escalation_of(rule, now),
        subject=subject,
        repeat_most=0 if evaluated.tier == "T4" else rule.repeat_most,
    )


def rule_for(call: Candidate) -> ApprovalRule:
    """The approval rule for the call's tool: the strictest combination of its agent's and all ancestors' rules."""
    tool = call.facts.tool
    rule = call.agent.definition.approvals.of(tool)
    for agent in call.above:
        other = agent.definition.approvals.of(tool)
        shared = set(rule.roles) & set(other.roles)
        allowed = tuple(sorted(shared)) if shared else other.roles  # without a shared role the ancestor's roles count
        strictest = {
            "people": max(rule.people, other.people),
            "roles": allowed if rule.roles and other.roles else rule.roles or other.roles,
            "escalate": rule.escalate if rule.escalate == other.escalate else None,
        }
        rule = ApprovalRule(**{**vars(rule), **strictest})
    return rule


def needs_other_people(evaluated: EvaluatedCall) -> bool:
    """Whether the edited call needs more people, other roles or another subject than the call before the edit."""
    facts, terms = evaluated.call.facts, approval_terms(evaluated, datetime.now(UTC))
    return (
        terms.needed > (facts.needed or 1)
        or terms.subject != facts.subject
        or set(terms.rule.roles) != set(facts.roles or ())
    )


def escalation_of(rule: ApprovalRule, now: datetime) -> datetime | None:
    """When the people named in the rule's escalation may decide as well; None without an escalation."""
    return now + timedelta(minutes=rule.escalate.after_minutes) if rule.escalate else None


def similar_calls(evaluated: EvaluatedCall) -> str:
    """Digest that two calls share if one standing approval may cover both.

    They must be of the same class and asked about for the same reasons, under the same policies, and the run must have
    become neither tainted nor suspect in between: the approver saw no more than that.
    """
    evaluation = evaluated.evaluation
    state = [evaluation.tainted, evaluation.suspect, evaluated.call.facts.policy_version()]
    return sha256_hex([evaluation.similarity_digest, list(evaluation.asks), *state])


def people_needed(rule: ApprovalRule, tier: Tier) -> int:
    """How many distinct people must approve."""
    return max(rule.people, PEOPLE_FOR_T4) if tier == "T4" else rule.people


@dataclass(frozen=True)
class ApprovalRequests:
    """Opens approvals."""

    database: Database

    async def ask(self, evaluated: EvaluatedCall, given: VerdictGiven) -> None:
        """Open the approval for this call, once.

        If one of several approvers has edited the call, the new approval supersedes the edited one.
        """
        call, facts = evaluated.call, evaluated.call.facts
        assert call.spec
        terms = approval_terms(evaluated, datetime.now(UTC))
        trace = Trace(facts.run_id, (given,), step=facts.step, call_id=facts.call_id)
        supersedes = facts.approval_id if facts.approval_state == "edit" else None
        await SQL["ask"].row(
            self.database,
            approval_id=approval_id_for(facts.run_id, facts.call_id, supersedes or "call", None),
            run_id=facts.run_id,
            call_id=facts.call_id,
            tool=facts.tool,
            tier=evaluated.tier,
            arguments=facts.effective_arguments,
            digest=facts.binding(call.spec.pinned_hash, terms.expires_at, evaluated.taint),
            rule=given.rule,
            reason=given.reason,
            expires_at=terms.expires_at,
            needed=terms.needed,
            roles=list(terms.rule.roles),
            approved_by=facts.approved_by if supersedes else [],
            escalates_at=terms.escalates_at,
            escalate_roles=list(terms.rule.escalate.roles) if terms.rule.escalate else [],
            reviewer=terms.reviewer,
            subject=terms.subject,
            repeat_most=terms.repeat_most,
            origins=canonical_json([vars(item) for item in evaluated.evaluation.traced]),
            tainted=evaluated.evaluation.tainted,
            supersedes=supersedes,
            standing=evaluated.tier != "T4" and terms.needed == 1 and terms.subject is None,
            step=facts.step,
            alike=similar_calls(evaluated),
            **{"class": evaluated.evaluation.similarity_digest},
            **trace.columns,
        )
        trace.emit()

    async def want_endorsement(self, evaluated: EvaluatedCall, given: VerdictGiven) -> None:
        """Show people a call that was denied because of the origins of its values; a person may restate a value."""
        facts = evaluated.call.facts
        await SQL["want_endorsement"].row(
            self.database,
            approval_id=approval_id_for(facts.run_id, facts.call_id, "endorse", None),
            run_id=facts.run_id,
            call_id=facts.call_id,
            tool=facts.tool,
            tier=evaluated.tier,
            arguments=facts.effective_arguments,
            digest=facts.digest,
            rule=given.rule,
            reason=given.reason,
            origins=canonical_json([vars(item) for item in evaluated.evaluation.traced]),
        )

    async def send_code(self, evaluated: EvaluatedCall, ctx: ToolContext) -> None:
        """Send a new one-time code to the call's subject. Raises whatever the agent's delivery function raises.

        The code is stored only after its delivery. After a crash in between, a retry sends another code, and only that
        one is valid.
        """
        facts = evaluated.call.facts
        assert facts.approval_id and facts.subject
        code = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS))
        module, _, name = (evaluated.call.agent.definition.approvals.deliver or ":").partition(":")
        deliver = getattr(importlib.import_module(module), name)
        await deliver(ctx, facts.subject, code, f"{facts.tool} asked for by {facts.agent} ({facts.approval_id})")
        await SQL["new_code"].row(
            self.database, approval_id=facts.approval_id, code_hash=code_hash(facts.approval_id, code)
        )
