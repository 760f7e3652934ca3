"""Evaluates several Cedar policies in one call: (question) -> the strictest verdict. Pure: no clock, no I/O.

Most calls are permitted by every policy, and one evaluation of all rules together shows that: no `forbid` of anyone
applied, nothing failed, and each policy has a `permit` of its own that did. Anything else is asked one by one.
"""

from collections.abc import Sequence
from functools import lru_cache

from cedarpy import Decision, PolicySet

from activities.policy.cedar.policy import Policy, PolicyRequest, ask_cedar, cedar_request
from activities.policy.engine.verdicts import Allow, Verdict, strictest

KEPT = 256  # sets of policies: of each tenant and agent version that a worker is about


def strictest_decision(policies: Sequence[Policy], question: PolicyRequest) -> Verdict:
    """The strictest verdict of all; of no policy at all, a Deny. Never raises."""
    if len(policies) > 1 and _all_permit(tuple(policies), question):
        owners = ", ".join(dict.fromkeys(policy.owner for policy in policies))
        return Allow("policy.permit", f"{owners} permit it")
    return strictest(policy.decide(question) for policy in policies)


def _all_permit(policies: tuple[Policy, ...], question: PolicyRequest) -> bool:
    try:
        answer = ask_cedar(cedar_request(question), _merged(policies))
        if answer.diagnostics.errors or answer.decision is not Decision.Allow:
            return False
        permitting = {int(reason.removeprefix("policy")) for reason in answer.diagnostics.reasons}
    except Exception:
        return False  # each alone says what is wrong
    first = 0
    for policy in policies:
        if permitting.isdisjoint(range(first, first + len(policy.rules))):
            return False
        first += len(policy.rules)
    return True


@lru_cache(maxsize=KEPT)
def _merged(policies: tuple[Policy, ...]) -> PolicySet:
    """All their rules, numbered by Cedar from the first of the first on. Raises ValueError."""
    return PolicySet.from_str("\n".join(str(policy.all_rules) for policy in policies))
