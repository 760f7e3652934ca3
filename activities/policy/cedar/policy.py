"""A policy in Cedar: (request) -> verdict. Pure: no clock, no I/O, no logging.

Cedar alone is not strict enough: if the condition of a `forbid` raises an error, Cedar skips the rule, may allow the
request, and reports the error only in its diagnostics. Here any error is a Deny. A `forbid` with `@ask` is an Ask.
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
ERROR_LIMIT = 300  # characters of Cedar's error message; the model and the trace get them


@dataclass(frozen=True)
class PolicyRequest:
    """A call for which a policy is evaluated.

    `origins`: argument -> worst origin of its values: user, trusted, untrusted or model. `input_schema`: JSON Schema of
    the arguments; it makes a 5 given for a number the text "5.0", the type that policies are checked against.
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
    """A parsed policy, made by `load`. `scope`: '*' for the platform's policy; else describes whose policy it is."""

    version: str
    scope: str
    rules: Mapping[str, PolicyRule]  # by Cedar's id of the rule
    all_rules: PolicySet = field(repr=False)
    without_asks: PolicySet = field(repr=False)

    def decide(self, policy_request: PolicyRequest) -> Verdict:
        """The verdict of this policy alone; a Deny if it cannot be evaluated. Never raises."""
        try:
            return self._evaluate(cedar_request(policy_request))
        except Inexpressible as error:  # the policy is not broken; Cedar has no type for a value of this call
            return Deny("policy.inexpressible", f"{self.owner} cannot be asked: {clip(str(error), ERROR_LIMIT)}")
        except Exception as error:
            return self._error_deny(f"{type(error).__name__}: {error}")

    def _evaluate(self, request: dict[str, Any]) -> Verdict:
        answer = ask_cedar(request, self.all_rules)
        if failure := _failure(answer):
            return self._error_deny(failure)
        rules = self._determining(answer)
        if answer.decision is Decision.Allow:
            return Allow("policy.permit", f"{self.owner} permits it: {', '.join(rule.name for rule in rules)}")
        if not rules:
            return self._default_deny(request)
        if plain := [rule for rule in rules if not rule.asks]:
            return Deny(f"policy.{plain[0].name}", self._reason(plain))
        return self._ask_or_deny(request, rules)

    def _ask_or_deny(self, request: dict[str, Any], asking: list[PolicyRule]) -> Verdict:
        """The verdict if only rules with `@ask` forbid the call: an Ask if the call is permitted without them.

        Otherwise a Deny, because a rule that asks must not replace a `permit`.
        """
        answer = ask_cedar(request, self.without_asks)
        if failure := _failure(answer):
            return self._error_deny(failure)
        if answer.decision is Decision.Allow:
            return Ask(f"policy.{asking[0].name}", self._reason(asking))
        return self._default_deny(request)

    def _determining(self, answer: AuthzResult) -> list[PolicyRule]:
        """The rules that determined the answer, in the order of the text."""
        return sorted((self.rules[reason] for reason in answer.diagnostics.reasons), key=lambda rule: rule.position)

    def _reason(self, rules: list[PolicyRule]) -> str:
        return "; ".join(rule.reason or f"{self.owner} forbids it: {rule.name}" for rule in rules)

    def _default_deny(self, request: dict[str, Any]) -> Deny:
        return Deny("policy.default-deny", f"no rule of {self.owner} permits {request['action']['id']}")

    def _error_deny(self, failure: str) -> Deny:
        reason = f"{self.owner} could not be evaluated; nothing was done: {clip(failure, ERROR_LIMIT)}"
        return Deny("policy.error", reason)

    @property
    def owner(self) -> str:
        """Describes whose policy it is."""
        return "the platform's policy" if self.scope == "*" else f"the policy of {self.scope}"


def load(text: str, *, version: str, scope: str, schema: Mapping[str, Any] | None = None) -> Policy:
    """Parse a policy and check it; with a `schema` (from `schema_for`) also against the tools.

    Raises PolicyInvalid with all problems.
    """
    parsed = read(text, schema)
    return Policy(version, scope, parsed.rules, parsed.all_rules, parsed.without_asks)


def _failure(answer: AuthzResult) -> str | None:
    """Why this answer must not be relied on; None if it is clean."""
    if errors := answer.diagnostics.errors:
        return "; ".join(errors)
    return None if answer.decision in (Decision.Allow, Decision.Deny) else "Cedar came to no decision"


def ask_cedar(request: dict[str, Any], rules: PolicySet) -> AuthzResult:
    """Evaluate a request with Cedar. Raises what Cedar raises."""
    return is_authorized(request, rules, NO_ENTITIES)


def cedar_request(policy_request: PolicyRequest) -> dict[str, Any]:
    """The request as Cedar's JSON. Raises Inexpressible."""
    return {
        "principal": {"type": "Agent", "id": policy_request.agent},
        "action": {"type": "Action", "id": policy_request.tool},
        "resource": {"type": "Tenant", "id": policy_request.tenant},
        "context": {
            "arguments": cedar_arguments(policy_request.arguments, policy_request.input_schema),
            "origins": cedar_record(policy_request.origins),
            "tier": policy_request.tier,
            "effect": policy_request.effect,
            "mode": policy_request.mode,
            "requester": policy_request.requester or "",
            "tenant": policy_request.tenant,
            "tainted": policy_request.tainted,
            "suspect": policy_request.suspect,
        },
    }
