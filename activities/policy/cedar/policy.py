"""A policy in Cedar: (question) -> Verdict. Pure: no clock, no I/O, no logging.

Cedar alone is not strict enough: a `forbid` whose condition fails is skipped and the request allowed, and only the
diagnostics tell. Here anything but a clean answer is a Deny. And `@ask` makes a `forbid` a question to a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cedarpy import AuthzResult, Decision, Entities, PolicySet, is_authorized

from activities.errors import clip
from activities.policy.cedar.parser import PolicyInvalid, PolicyRule, read
from activities.policy.cedar.schema import Inexpressible, ToolShape, cedar_arguments, cedar_record, schema_for
from activities.policy.engine.verdicts import Allow, Ask, Deny, Verdict

__all__ = ["Policy", "PolicyInvalid", "PolicyRequest", "ToolShape", "load", "schema_for"]

NO_ENTITIES = Entities.from_json_str("[]")
ERROR_LIMIT = 300  # characters of Cedar's own words: they reach the model and the trace


@dataclass(frozen=True)
class PolicyRequest:
    """A call, as a policy is asked about it.

    `origins` says where the value of an argument came from: user, trusted, untrusted or model. `input_schema` is the
    tool's: with it, a 5 given for a number is the text "5.0", as it is in the schema that policies are checked against.
    """

    agent: str
    tenant: str
    tool: str
    arguments: Mapping[str, Any]
    tier: str
    effect: str
    mode: str
    requester: str | None = None
    tainted: bool = True
    suspect: bool = True
    origins: Mapping[str, str] = field(default_factory=dict)
    input_schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Policy:
    """A parsed policy. `scope` is '*' (the platform's), or whose it is in words. Made by `load`."""

    version: str
    scope: str
    rules: Mapping[str, PolicyRule]  # by Cedar's own id of it
    all_rules: PolicySet = field(repr=False)
    without_asks: PolicySet = field(repr=False)

    def decide(self, question: PolicyRequest) -> Verdict:
        """The verdict of this policy alone. Never raises: a policy that cannot be evaluated is a Deny."""
        try:
            return self._decided(cedar_request(question))
        except Inexpressible as error:  # nothing is broken: this call alone cannot be put to a policy
            return Deny("policy.inexpressible", f"{self.owner} cannot be asked: {clip(str(error), ERROR_LIMIT)}")
        except Exception as error:
            return self._failed(f"{type(error).__name__}: {error}")

    def _decided(self, request: dict[str, Any]) -> Verdict:
        answer = ask_cedar(request, self.all_rules)
        if failure := _failure(answer):
            return self._failed(failure)
        rules = self._determining(answer)
        if answer.decision is Decision.Allow:
            return Allow("policy.permit", f"{self.owner} permits it: {', '.join(rule.name for rule in rules)}")
        if not rules:
            return self._by_default(request)
        if plain := [rule for rule in rules if not rule.asks]:
            return Deny(f"policy.{plain[0].name}", self._why(plain))
        return self._asked(request, rules)

    def _asked(self, request: dict[str, Any], asking: list[PolicyRule]) -> Verdict:
        """Only what is permitted otherwise is worth a question: a rule that asks must not replace a permit."""
        answer = ask_cedar(request, self.without_asks)
        if failure := _failure(answer):
            return self._failed(failure)
        if answer.decision is Decision.Allow:
            return Ask(f"policy.{asking[0].name}", self._why(asking))
        return self._by_default(request)

    def _determining(self, answer: AuthzResult) -> list[PolicyRule]:
        """The rules that made the answer, in the order of the text."""
        return sorted((self.rules[reason] for reason in answer.diagnostics.reasons), key=lambda rule: rule.position)

    def _why(self, rules: list[PolicyRule]) -> str:
        return "; ".join(rule.reason or f"{self.owner} forbids it: {rule.name}" for rule in rules)

    def _by_default(self, request: dict[str, Any]) -> Deny:
        return Deny("policy.default-deny", f"no rule of {self.owner} permits {request['action']['id']}")

    def _failed(self, failure: str) -> Deny:
        reason = f"{self.owner} could not be evaluated; nothing was done: {clip(failure, ERROR_LIMIT)}"
        return Deny("policy.error", reason)

    @property
    def owner(self) -> str:
        """Whose policy it is, in words."""
        return "the platform's policy" if self.scope == "*" else f"the policy of {self.scope}"


def load(text: str, *, version: str, scope: str, schema: Mapping[str, Any] | None = None) -> Policy:
    """The policy that `text` is; with a `schema` (of `schema_for`) also checked against it.

    Raises PolicyInvalid, with each problem.
    """
    written = read(text, schema)
    return Policy(version, scope, written.rules, written.all_rules, written.without_asks)


def _failure(answer: AuthzResult) -> str | None:
    """Why this answer must not be relied on, or None."""
    if errors := answer.diagnostics.errors:
        return "; ".join(errors)
    return None if answer.decision in (Decision.Allow, Decision.Deny) else "Cedar came to no decision"


def ask_cedar(request: dict[str, Any], rules: PolicySet) -> AuthzResult:
    """What Cedar answers. Raises whatever Cedar raises."""
    return is_authorized(request, rules, NO_ENTITIES)


def cedar_request(question: PolicyRequest) -> dict[str, Any]:
    """The request in Cedar's JSON. Raises Inexpressible."""
    return {
        "principal": {"type": "Agent", "id": question.agent},
        "action": {"type": "Action", "id": question.tool},
        "resource": {"type": "Tenant", "id": question.tenant},
        "context": {
            "arguments": cedar_arguments(question.arguments, question.input_schema),
            "origins": cedar_record(question.origins),
            "tier": question.tier,
            "effect": question.effect,
            "mode": question.mode,
            "requester": question.requester or "",
            "tenant": question.tenant,
            "tainted": question.tainted,
            "suspect": question.suspect,
        },
    }
