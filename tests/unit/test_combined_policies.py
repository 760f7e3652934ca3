"""Policies together: what one evaluation of all of them permits, each of them alone permits too."""

from dataclasses import replace
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from activities.policy.cedar import policy as cedar_policy
from activities.policy.cedar.combined import strictest_decision
from activities.policy.cedar.policy import Policy, PolicyRequest, load
from activities.policy.engine.verdicts import Deny, strictest, strictness

RULES = [
    'permit (principal, action, resource) when { context.tier == "T1" };',
    'permit (principal, action == Action::"mail", resource);',
    'forbid (principal, action, resource) when { context.arguments.to like "*@evil.example" };',  # fails without one
    "forbid (principal, action, resource) when { context has arguments && context.arguments has to };",
    "@ask forbid (principal, action, resource) when { context.tainted };",
    'forbid (principal, action == Action::"pay", resource) unless { context.tier == "T1" };',
]
PERMIT = "permit (principal, action, resource);"


def _text(rules: list[str], open_handed: bool) -> str:
    """A policy of these rules; it permits everything else if it is open-handed, or would permit nothing at all."""
    return "\n".join([*rules, PERMIT] if open_handed or not any("permit" in rule for rule in rules) else rules)


POLICIES = st.lists(
    st.builds(_text, st.lists(st.sampled_from(RULES), max_size=3, unique=True), st.booleans()), min_size=1, max_size=3
)
QUESTIONS = st.builds(
    PolicyRequest,
    agent=st.just("a"),
    tenant=st.just("t"),
    tool=st.sampled_from(["mail", "pay"]),
    arguments=st.sampled_from([{}, {"to": "x@evil.example"}, {"to": "x@acme.example"}, {"n": 2**70}]),
    tier=st.sampled_from(["T1", "T3"]),
    effect=st.just("send"),
    mode=st.just("tiered"),
    tainted=st.booleans(),
)


def loaded(texts: list[str]) -> list[Policy]:
    return [load(text, version=str(n), scope="*" if n == 0 else f"tenant {n}") for n, text in enumerate(texts)]


@given(texts=POLICIES, question=QUESTIONS)
def test_together_they_say_what_the_strictest_of_them_says(texts: list[str], question: PolicyRequest) -> None:
    policies = loaded(texts)
    together, alone = strictest_decision(policies, question), strictest(policy.decide(question) for policy in policies)
    assert strictness(together) == strictness(alone)
    assert strictness(alone) == 0 or together == alone


def test_the_permit_of_one_policy_is_no_permit_of_another() -> None:
    question = PolicyRequest("a", "t", "mail", {}, "T3", "send", "tiered")
    lax, strict = PERMIT * 3, 'permit (principal, action, resource) when { context.tier == "T1" };'
    for texts in ([lax, strict], [strict, lax], [lax, strict, lax]):
        assert strictest_decision(loaded(texts), question).rule == "policy.default-deny"
    assert strictest_decision(loaded([lax, strict]), replace(question, tier="T1")).rule == "policy.permit"


def test_no_policy_at_all_and_an_evaluation_that_fails_are_a_no() -> None:
    question = PolicyRequest("a", "t", "mail", {}, "T3", "send", "tiered")
    assert isinstance(strictest_decision([], question), Deny)
    with patch.object(cedar_policy, "is_authorized", lambda *_: 1 / 0):
        assert strictest_decision(loaded([PERMIT, PERMIT]), question).rule == "policy.error"
