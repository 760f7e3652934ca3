"""What Cedar decides for us: verdicts, what it alone would let pass, and that stricter is stricter."""

import json
import math
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY, patch

import pytest
from cedarpy import AuthzResult, Decision, Entities, PolicySet, is_authorized
from hypothesis import given
from hypothesis import strategies as st

from activities.policy.cedar import policy as cedar_policy
from activities.policy.cedar.policy import PolicyRequest, load
from activities.policy.engine.verdicts import Allow, Ask, Deny, strictness
from tests.unit.cedar_rules import MAIL, PERMIT, SCHEMA, ask, policy

# ── verdicts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_permit_permits_and_is_named() -> None:
    verdict = policy(f'@id("all") {PERMIT}').decide(ask())
    assert verdict == Allow("policy.permit", "the platform's policy permits it: all")


def test_what_no_rule_permits_is_denied() -> None:
    verdict = policy('permit (principal, action == Action::"wait", resource);', "acme").decide(ask())
    assert verdict == Deny("policy.default-deny", "no rule of the policy of acme permits send")


def test_a_forbid_denies_with_its_own_name_and_reason() -> None:
    text = f'{PERMIT} @id("no-mail") @reason("mail is off") forbid (principal, action == Action::"send", resource);'
    assert policy(text).decide(ask()) == Deny("policy.no-mail", "mail is off")
    assert isinstance(policy(text).decide(ask(tool="wait")), Allow)


def test_a_forbid_without_a_name_is_called_by_its_place() -> None:
    verdict = policy(f"{PERMIT} forbid (principal, action, resource);").decide(ask())
    assert verdict == Deny("policy.policy1", "the platform's policy forbids it: policy1")


def test_a_forbid_that_asks_asks() -> None:
    text = f'{PERMIT} @id("look") @reason("someone looks") @ask forbid (principal, action, resource);'
    assert policy(text).decide(ask()) == Ask("policy.look", "someone looks")


def test_a_forbid_that_asks_beside_one_that_does_not_denies() -> None:
    asks = '@id("look") @ask forbid (principal, action, resource);'
    plain = '@id("stop") @reason("no") forbid (principal, action, resource);'
    for text in (PERMIT + asks + plain, plain + asks + PERMIT):
        assert policy(text).decide(ask()) == Deny("policy.stop", "no")


def test_of_several_rules_the_first_in_the_text_names_the_verdict() -> None:
    rules = "".join(f'@id("r{i}") @reason("reason {i}") @ask forbid (principal, action, resource);' for i in range(12))
    verdict = policy(rules + PERMIT).decide(ask())
    assert verdict.rule == "policy.r0"
    assert verdict.reason.split("; ") == [f"reason {i}" for i in range(12)]


def test_what_is_not_permitted_is_not_even_asked_about() -> None:
    text = 'permit (principal, action == Action::"wait", resource); @ask forbid (principal, action, resource);'
    assert policy(text).decide(ask()) == Deny("policy.default-deny", "no rule of the platform's policy permits send")


# ── what Cedar alone would let pass ─────────────────────────────────────────────────────────────────────────────────

ERRING = f'{PERMIT} @id("broken") forbid (principal, action, resource) when {{ context.arguments.nope == "x" }};'


def cedar_alone(text: str) -> AuthzResult:
    """Cedar's own answer to `ask()`."""
    return is_authorized(cedar_policy.cedar_request(ask()), PolicySet.from_str(text), Entities.from_json_str("[]"))


def test_a_forbid_that_cannot_be_evaluated_denies_though_cedar_alone_would_allow() -> None:
    assert cedar_alone(ERRING).decision is Decision.Allow
    verdict = policy(ERRING).decide(ask())
    assert isinstance(verdict, Deny)
    assert verdict.rule == "policy.error"
    assert "nope" in verdict.reason


def test_a_rule_that_fails_beside_one_that_asks_denies() -> None:
    verdict = policy(f"{ERRING} @ask forbid (principal, action, resource);").decide(ask())
    assert (type(verdict), verdict.rule) == (Deny, "policy.error")


@pytest.mark.parametrize("raised", [RuntimeError("boom"), ValueError("bad"), KeyError("decision"), MemoryError()])
def test_an_evaluation_that_throws_denies(raised: Exception) -> None:
    with patch.object(cedar_policy, "is_authorized", side_effect=raised):
        verdict = policy(PERMIT).decide(ask())
    assert (type(verdict), verdict.rule) == (Deny, "policy.error")
    assert type(raised).__name__ in verdict.reason


@pytest.mark.parametrize(
    "answer",
    [
        {"decision": "NoDecision", "diagnostics": {"errors": []}},
        {"decision": "NoDecision"},
        {"decision": "Perhaps"},
        {},
        {"decision": "Allow", "diagnostics": {"reason": ["policy7"], "errors": []}},
        {"decision": "Allow", "diagnostics": {"reason": ["policy0"], "errors": ["one rule failed"]}},
    ],
)
def test_no_clean_decision_is_a_no(answer: dict[str, Any]) -> None:
    with patch.object(cedar_policy, "is_authorized", return_value=AuthzResult(answer)):
        verdict = policy(PERMIT).decide(ask())
    assert (type(verdict), verdict.rule) == (Deny, "policy.error")


def test_no_decision_about_the_rules_beside_those_that_ask_is_a_no() -> None:
    first = AuthzResult({"decision": "Deny", "diagnostics": {"reason": ["policy1"], "errors": []}})
    with patch.object(cedar_policy, "is_authorized", side_effect=[first, AuthzResult({"decision": "NoDecision"})]):
        verdict = policy(f"{PERMIT} @ask forbid (principal, action, resource);").decide(ask())
    assert (type(verdict), verdict.rule) == (Deny, "policy.error")


NESTED: list[Any] = []
for _ in range(5_000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**63) - 1, math.nan, math.inf, {"__entity": {"type": "Agent", "id": "x"}}, b"bytes", object(),
     [{"__extn": {"fn": "decimal", "arg": "1.0"}}], "\ud800", NESTED],
    ids=["big", "small", "nan", "inf", "entity", "bytes", "object", "extension", "surrogate", "nested"],
)  # fmt: skip
def test_what_cedar_cannot_hold_is_denied(value: Any) -> None:
    verdict = policy(PERMIT).decide(ask(arguments={"x": value}))
    broken = value == "\ud800" or value is NESTED  # the gateway lets neither come this far
    assert (type(verdict), verdict.rule) == (Deny, "policy.error" if broken else "policy.inexpressible")


def test_a_value_cannot_pose_as_another_type_to_slip_past_a_rule() -> None:
    text = f'{PERMIT} forbid (principal, action, resource) when {{ context.arguments.to == "1.0" }};'
    posing = {"to": {"__extn": {"fn": "decimal", "arg": "1.0"}}}
    assert isinstance(policy(text).decide(ask(arguments=posing)), Deny)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), True, "é\u202e😀\x00", [], [1, None], {"a b": {}}, 1e308, -0.5])
def test_what_cedar_can_hold_is_decided_about(value: Any) -> None:
    assert isinstance(policy(PERMIT).decide(ask(arguments={"x": value, "gone": None})), Allow)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("tainted", True), ("suspect", True), ("requester", "ana"), ("mode", "propose"), ("tier", "T4"),
     ("effect", "money"), ("tenant", "other")],
)  # fmt: skip
def test_a_rule_sees_what_is_known_of_the_call(attribute: str, value: Any) -> None:
    text = f"{PERMIT} forbid (principal, action, resource) when {{ context.{attribute} == {json.dumps(value)} }};"
    checked = load(text, version="v", scope="*", schema=SCHEMA)
    assert isinstance(checked.decide(ask()), Allow)
    assert isinstance(checked.decide(ask(**{attribute: value})), Deny)


def test_a_rule_sees_who_acts_for_whom_and_where_a_value_came_from() -> None:
    text = f"""{PERMIT}
    forbid (principal == Agent::"helper", action, resource == Tenant::"acme")
    when {{ context.origins has to && context.origins.to == "untrusted" }};"""
    checked = load(text, version="v", scope="*", schema=SCHEMA)
    assert isinstance(checked.decide(ask(origins={"to": "untrusted"})), Deny)
    for other in (ask(), ask(origins={"to": "user"}), ask(agent="x", origins={"to": "untrusted"})):
        assert isinstance(checked.decide(other), Allow)


@pytest.mark.parametrize(("rate", "text"), [(5, "5.0"), (5.0, "5.0"), (-0.25, "-0.25"), (1e-7, "0.0000001")])
def test_a_number_is_decimal_text_whether_it_came_whole_or_not(rate: float, text: str) -> None:
    when = f'when {{ context.arguments.rate == "{text}" }}'
    rule = f'{PERMIT} forbid (principal, action == Action::"send", resource) {when};'
    checked = load(rule, version="v", scope="*", schema=SCHEMA)
    for value, verdict in ((rate, Deny("policy.policy1", ANY)), (rate + 1, Allow("policy.permit", ANY))):
        assert checked.decide(ask(arguments={"to": "a", "amount": 1, "rate": value}, input_schema=MAIL)) == verdict


# ── stricter is stricter ────────────────────────────────────────────────────────────────────────────────────────────

CONDITIONS = st.sampled_from(
    [
        "",
        "when { context.tainted }",
        "unless { context.tainted }",
        'when { context.arguments.to like "*@acme.example" }',
        "when { context.arguments.amount > 10 }",
        "when { context.arguments has cc }",
        'when { context.mode == "propose" }',
        'when { context.arguments.nope == "x" }',
        "when { context.arguments.to > 3 }",
    ]
)
SCOPES = st.sampled_from(["action", 'action == Action::"send"', 'action == Action::"wait"'])
RULES = st.builds(lambda action, when: f"(principal, {action}, resource) {when};", SCOPES, CONDITIONS)
FORBIDS = st.builds(lambda asks, rule: f"{asks} forbid {rule}", st.sampled_from(["", "@ask"]), RULES)
PERMITS = RULES.map(lambda rule: f"permit {rule}")


def questions() -> Iterator[PolicyRequest]:
    """Some of each kind."""
    for tool in ("send", "wait", "other"):
        for tainted in (True, False):
            for to, amount in (("ana@acme.example", 5), ("eve@evil.example", 50)):
                yield ask(tool=tool, tainted=tainted, arguments={"to": to, "amount": amount})
                yield ask(tool=tool, tainted=tainted, arguments={"to": to, "amount": amount, "cc": to}, mode="propose")


@given(st.lists(PERMITS, min_size=1, max_size=3), st.lists(FORBIDS, max_size=3), FORBIDS)
def test_adding_a_forbid_never_permits_more(permits: list[str], forbids: list[str], added: str) -> None:
    before, after = policy("\n".join(permits + forbids)), policy("\n".join([added, *permits, *forbids]))
    for question in questions():
        assert strictness(after.decide(question)) >= strictness(before.decide(question))


@given(st.lists(PERMITS, min_size=2, max_size=4), st.lists(FORBIDS, max_size=2))
def test_taking_a_permit_away_never_permits_more(permits: list[str], forbids: list[str]) -> None:
    before, after = policy("\n".join(permits + forbids)), policy("\n".join(permits[1:] + forbids))
    failing = {"policy.error"}
    for question in questions():
        if before.decide(question).rule not in failing:  # a rule that fails denies, so taking it away may permit
            assert strictness(after.decide(question)) >= strictness(before.decide(question))
