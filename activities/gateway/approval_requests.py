"""Asking people about a call: on which terms, bound to which digest, and the one-time code for whom it is about."""

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
    """Who has to say yes, and until when."""

    needed: int
    rule: ApprovalRule
    expires_at: datetime
    escalates_at: datetime | None
    subject: str | None
    repeat_most: int

    @property
    def reviewer(self) -> str | None:
        """The agent that may be one of several people."""
        return self.rule.reviewer if self.needed > 1 else None


def approval_terms(judged: EvaluatedCall, now: datetime) -> ApprovalTerms:
    """The terms for a call: the definition's rule for its tool, and two people for T4 whatever the rule says."""
    call = judged.call
    rules = call.agent.definition.approvals
    rule = rule_for(call)
    subject = json.loads(call.facts.effective_arguments)[rule.confirm] if rule.confirm else None
    return ApprovalTerms(
        needed=people_needed(rule, judged.tier),
        rule=rule,
        expires_at=now + timedelta(minutes=rules.expire_minutes),
        escalates_at=escalation_of(rule, now),
        subject=subject,
        repeat_most=0 if judged.tier == "T4" else rule.repeat_most,
    )


def rule_for(call: Candidate) -> ApprovalRule:
    """Who decides about its tool: by the definition of its agent, and of the agents above, the strictest of each."""
    tool = call.facts.tool
    rule = call.agent.definition.approvals.of(tool)
    for agent in call.above:
        other = agent.definition.approvals.of(tool)
        both = set(rule.roles) & set(other.roles)  # nobody in both: those above have the say
        either = tuple(sorted(both)) if both else other.roles
        strictest = {
            "people": max(rule.people, other.people),
            "roles": either if rule.roles and other.roles else rule.roles or other.roles,
            "escalate": rule.escalate if rule.escalate == other.escalate else None,
        }
        rule = ApprovalRule(**{**vars(rule), **strictest})
    return rule


def needs_other_people(judged: EvaluatedCall) -> bool:
    """Whether a call, as it was edited, takes other or more people than those who were asked before the edit."""
    facts, terms = judged.call.facts, approval_terms(judged, datetime.now(UTC))
    return (
        terms.needed > (facts.needed or 1)
        or terms.subject != facts.subject
        or set(terms.rule.roles) != set(facts.roles or ())
    )


def escalation_of(rule: ApprovalRule, now: datetime) -> datetime | None:
    """When the others whom a rule names may decide as well."""
    return now + timedelta(minutes=rule.escalate.after_minutes) if rule.escalate else None


def similar_calls(judged: EvaluatedCall) -> str:
    """What "the next n like this" are like: a call of the same class, asked about for the same reasons, under the same
    policies, in a run that has read nothing worse. Whoever said yes saw these and no others.
    """
    evaluation = judged.evaluation
    state = [evaluation.tainted, evaluation.suspect, judged.call.facts.policy_version()]
    return sha256_hex([evaluation.like, list(evaluation.asks), *state])


def people_needed(rule: ApprovalRule, tier: Tier) -> int:
    """How many distinct people have to say yes."""
    return max(rule.people, PEOPLE_FOR_T4) if tier == "T4" else rule.people


@dataclass(frozen=True)
class ApprovalRequests:
    """Opens approvals."""

    database: Database

    async def ask(self, judged: EvaluatedCall, given: VerdictGiven) -> None:
        """Open the approval for this call, once; after an edit by one of several people, the one that supersedes it."""
        call, facts = judged.call, judged.call.facts
        assert call.spec
        terms = approval_terms(judged, datetime.now(UTC))
        trace = Trace(facts.run_id, (given,), step=facts.step, call_id=facts.call_id)
        supersedes = facts.approval_id if facts.approval_state == "edit" else None
        await SQL["ask"].row(
            self.database,
            approval_id=approval_id_for(facts.run_id, facts.call_id, supersedes or "call", None),
            run_id=facts.run_id,
            call_id=facts.call_id,
            tool=facts.tool,
            tier=judged.tier,
            arguments=facts.effective_arguments,
            digest=facts.binding(call.spec.pinned_hash, terms.expires_at, judged.taint),
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
            origins=canonical_json([vars(item) for item in judged.evaluation.traced]),
            tainted=judged.evaluation.tainted,
            supersedes=supersedes,
            standing=judged.tier != "T4" and terms.needed == 1 and terms.subject is None,
            step=facts.step,
            alike=similar_calls(judged),
            **{"class": judged.evaluation.like},
            **trace.columns,
        )
        trace.emit()

    async def want_endorsement(self, judged: EvaluatedCall, given: VerdictGiven) -> None:
        """Show people a call that was denied for where its values came from; they may restate one."""
        facts = judged.call.facts
        await SQL["want_endorsement"].row(
            self.database,
            approval_id=approval_id_for(facts.run_id, facts.call_id, "endorse", None),
            run_id=facts.run_id,
            call_id=facts.call_id,
            tool=facts.tool,
            tier=judged.tier,
            arguments=facts.effective_arguments,
            digest=facts.digest,
            rule=given.rule,
            reason=given.reason,
            origins=canonical_json([vars(item) for item in judged.evaluation.traced]),
        )

    async def send_code(self, judged: EvaluatedCall, ctx: ToolContext) -> None:
        """Bring a fresh one-time code to whom the call is about. Raises whatever the agent's deliverer raises.

        The code counts only once it was delivered: a crash in between sends another, and the later one counts.
        """
        facts = judged.call.facts
        assert facts.approval_id and facts.subject
        code = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS))
        module, _, name = (judged.call.agent.definition.approvals.deliver or ":").partition(":")
        deliver = getattr(importlib.import_module(module), name)
        await deliver(ctx, facts.subject, code, f"{facts.tool} asked for by {facts.agent} ({facts.approval_id})")
        await SQL["new_code"].row(
            self.database, approval_id=facts.approval_id, code_hash=code_hash(facts.approval_id, code)
        )
