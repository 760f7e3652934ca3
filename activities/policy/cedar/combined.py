"""Evaluates several Cedar policies for one request and returns the strictest verdict. Pure: no clock, no I/O.

Fast path: one evaluation of the rules of all policies together. If no `forbid` applied, nothing failed, and each policy
has a `permit` that applied, then every policy permits the call. Otherwise each policy is evaluated by itself.
"""

from collections.abc import Sequence
from functools import lru_cache

from cedarpy import Decision, PolicySet

from activities.policy.cedar.policy import Policy, PolicyRequest, ask_cedar, cedar_request
from activities.policy.engine.verdicts import Allow, Verdict, strictest

KEPT = 256  # combinations of policies in the cache; there is one for each tenant and agent version


def strictest_decision(policies: Sequence[Policy], request: PolicyRequest) -> Verdict:
    """The strictest verdict of the policies; a Deny if there are none. Never raises."""
    if len(policies) > 1 and _all_permit(tuple(policies), request):
        owners = ", ".join(dict.fromkeys(policy.owner for policy in policies))
        return Allow("policy.permit", f"{owners} permit it")
    return strictest(policy.decide(request) for policy in policies)


def _all_permit(policies: tuple[Policy, ...], request: PolicyRequest) -> bool:
    try:
        answer = ask_cedar(cedar_request(request), _merged(policies))
        if answer.diagnostics.errors or answer.decision is not Decision.Allow:
            return False
        permitting = {int(reason.removeprefix("policy")) for reason in answer.diagnostics.reasons}
    except Exception:
        return False  # the policies are then evaluated one by one, which reports the error
    first = 0
    for policy in policies:
        if permitting.isdisjoint(range(first, first + len(policy.rules))):
            return False
        first += len(policy.rules)
    return True


@lru_cache(maxsize=KEPT)
def _merged(policies: tuple[Policy, ...]) -> PolicySet:
    """The rules of all policies; Cedar numbers them in this order. Raises ValueError."""
    return PolicySet.from_str("\n".join(str(policy.all_rules) for policy in policies))
