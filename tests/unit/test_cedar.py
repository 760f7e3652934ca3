"""Cedar policies: a clean permit permits, and nothing else does."""

import json
import math
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY, patch

import pytest
from cedarpy import AuthzResult, Decision, Entities, PolicySet, Schema, is_authorized, validate_policies
from hypothesis import assume, given
from hypothesis import strategies as st

from activities.policy import cedar
from activities.policy.cedar import Policy, PolicyInvalid, Question, load
from activities.policy.cedar_schema import Inexpressible, ToolShape, arguments_kind, cedar_record, schema_for
from activities.policy.store import DEFAULT
from activities.policy.verdicts import Allow, Ask, Deny, strictness

PERMIT = "permit (principal, action, resource);"
MAIL = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "cc": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "amount": {"type": "integer"},
        "rate": {"type": "number"},
        "lines": {"type": "array", "items": {"type": "string"}},
        "anything": {},
    },
    "required": ["to", "amount", "rate"],
}
TOOLS = [
    ToolShape("send", "T3", "send", MAIL),
    ToolShape("wait", "T0", "read", {"type": "object", "properties": {"minutes": {"type": "number"}}}),
]
SCHEMA = schema_for(TOOLS)


def ask(**changes: Any) -> Question:
    """A question, as benign as can be."""
    usual: dict[str, Any] = {
        "agent": "helper", "tenant": "acme", "tool": "send", "arguments": {"to": "ana@acme.example", "amount": 5},
        "tier": "T3", "effect": "send", "mode": "tiered", "tainted": False, "suspect": False,
    }  # fmt: skip
    return Question(**(usual | changes))


def policy(text: str, scope: str = "*") -> Policy:
    """A policy that was not checked against tools."""
    return load(text, version="v", scope=scope)


def problems(text: str, schema: Any = SCHEMA) -> str:
    """What `load` says is wrong."""
    with pytest.raises(PolicyInvalid) as caught:
        load(text, version="v", scope="*", schema=schema)
    return str(caught.value)


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
    return is_authorized(cedar.request_of(ask()), PolicySet.from_str(text), Entities.from_json_str("[]"))


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
    with patch.object(cedar, "is_authorized", side_effect=raised):
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
    with patch.object(cedar, "is_authorized", return_value=AuthzResult(answer)):
        verdict = policy(PERMIT).decide(ask())
    assert (type(verdict), verdict.rule) == (Deny, "policy.error")


def test_no_decision_about_the_rules_beside_those_that_ask_is_a_no() -> None:
    first = AuthzResult({"decision": "Deny", "diagnostics": {"reason": ["policy1"], "errors": []}})
    with patch.object(cedar, "is_authorized", side_effect=[first, AuthzResult({"decision": "NoDecision"})]):
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


# ── texts that are refused ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "permits nothing"),
        ("// nothing", "permits nothing"),
        ("forbid (principal, action, resource);", "permits nothing"),
        ("permit (principal, action, resource)", "not Cedar"),
        ("allow everything", "not Cedar"),
        (f"{PERMIT} permit (principal == ?principal, action, resource);", "templates"),
        (f'{PERMIT} @id("a") forbid (principal, action, resource); @id("a") {PERMIT}', "2 rules have the @id 'a'"),
        (f'@id("error") {PERMIT}', "cannot be used"),
        (f'@id("a b") {PERMIT}', "cannot be used"),
        (f"@id {PERMIT}", "cannot be used"),
        (f"@ask {PERMIT}", "@ask is for `forbid`"),
        (f'{PERMIT} @ask("no") forbid (principal, action, resource);', "@ask takes no value"),
        (f"{PERMIT} forbid (principal, action, resource) when {{ context.teir == 1 }};", "teir"),
        (f"{PERMIT} forbid (principal, action, resource) when {{ context.arguments.to == 1 }};", "wait"),
        (f'{PERMIT} forbid (principal, action == Action::"sned", resource);', "sned"),
        (f"{PERMIT} forbid (principal, action, resource) when {{ context.tainted == 1 }};", "not compatible"),
        (f'{PERMIT} forbid (principal == User::"ana", action, resource);', "User"),
        (
            f'{PERMIT} forbid (principal, action == Action::"send", resource) when {{ context.arguments.cc == "" }};',
            "optional",
        ),
        (f"{PERMIT} // \x00", "cannot be stored"),
        (f"{PERMIT}{' ' * 200_000}", "characters"),
    ],
)
def test_a_text_that_would_not_do_what_it_seems_to_is_refused(text: str, problem: str) -> None:
    assert problem in problems(text)


def test_each_problem_is_named_at_once() -> None:
    found = problems('@id("x y") @ask permit (principal, action == Action::"a", resource); @id("x y") ' + PERMIT)
    assert len(found.splitlines()) >= 4


@pytest.mark.parametrize("path", ["arguments has recipient", "origins has recipient", "arguments has anything"])
def test_a_condition_on_an_argument_that_no_tool_has_is_refused_though_cedar_alone_accepts_it(path: str) -> None:
    text = f"{PERMIT} forbid (principal, action, resource) when {{ context.{path} }};"
    assert validate_policies(text, SCHEMA).validation_passed
    assert "never holds" in problems(text)


def test_a_condition_on_an_argument_of_another_tool_is_refused() -> None:
    text = f'{PERMIT} forbid (principal, action == Action::"wait", resource) when {{ context.arguments has to }};'
    assert "never holds" in problems(text)
    load(text.replace('"wait"', '"send"'), version="v", scope="*", schema=SCHEMA)


def test_without_tools_nothing_can_be_checked_and_nothing_is_accepted() -> None:
    assert "register an agent" in problems(PERMIT, schema_for([]))


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 50_000 + "true" + ")" * 50_000,
        "[" * 5_000 + "]" * 5_000 + " == 1",
        "if true then true else " * 5_000 + "true",
        '"' + ")" * 9_000 + '" == ' + "(" * 9_000 + "1" + ")" * 9_000,
        '(")" == ' * 9_000 + '""' + ")" * 9_000,
    ],
    ids=["parentheses", "lists", "ifs", "brackets in a string", "a bracket in each string"],
)
def test_a_text_that_would_end_the_process_never_reaches_the_parser(condition: str) -> None:
    with patch("activities.policy.cedar_text.PolicySet", None):  # calling it would be another error
        assert problems(f"permit (principal, action, resource) when {{ {condition} }};", None)


def test_a_long_condition_is_read_or_refused_and_never_a_crash() -> None:
    for length in (50, 200):
        condition = " || ".join(f'context.requester == "{i}"' for i in range(length))
        text = f"{PERMIT} @ask forbid (principal, action, resource) when {{ {condition} }};"
        assert isinstance(policy(text).decide(ask(requester="7")), Ask)
    assert "too long" in problems(f"permit (principal, action, resource) when {{ {'true && ' * 3_000} true }};", None)


def test_rules_are_told_apart_whatever_is_in_their_strings() -> None:
    text = f"""
    @id("a") @reason("one; two // three") @ask forbid (principal, action, resource) when {{ context.mode == ";" }};
    // a comment; with "quotes
    @id("b") @ask forbid (principal, action, resource) when {{ context.mode == "\\";//" }}; {PERMIT}
    """
    assert policy(text).decide(ask(mode=";")) == Ask("policy.a", "one; two // three")
    assert isinstance(policy(text).decide(ask(mode='";//')), Ask)
    assert isinstance(policy(text).decide(ask()), Allow)


def test_the_platforms_default_fits_and_permits_what_the_rest_allows() -> None:
    default = load(DEFAULT.read_text(encoding="utf-8"), version="v", scope="*", schema=SCHEMA)
    for question in (ask(), ask(tool="wait", tier="T4", effect="money", suspect=True, tainted=True)):
        assert isinstance(default.decide(question), Allow)


def test_the_examples_in_the_platforms_default_are_rules_that_fit() -> None:
    lines = DEFAULT.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line[5:] if line.startswith("//   ") else line for line in lines)
    total = {"type": "object", "properties": {"total_cents": {"type": "integer"}}, "required": ["total_cents"]}
    url = {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}
    tools = [
        ToolShape("send_mail", "T3", "send", MAIL),
        ToolShape("place_order", "T4", "money", total),
        ToolShape("fetch", "T1", "read", url),
    ]
    full = load(text, version="v", scope="*", schema=schema_for(tools))
    assert len(full.rules) == 6
    mail: dict[str, Any] = {"tool": "send_mail", "input_schema": MAIL}
    order = ask(agent="purchasing", tool="place_order", arguments={"total_cents": 50_001}, input_schema=total)
    assert isinstance(full.decide(ask(**mail)), Allow)
    assert full.decide(ask(**mail, arguments={"to": "eve@evil.example"})).rule == "policy.mail-stays-inside"
    assert full.decide(ask(effect="money", suspect=True)).rule == "policy.suspect-data"
    assert full.decide(order) == Ask("policy.large-order", "a person looks at orders above 500.00")
    assert full.decide(ask(tool="fetch", arguments={"url": "x"})).rule == "policy.hosts-from-people"


# ── the schema ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "format": "date"}, {"type": "String"}),
        ({"type": "integer"}, {"type": "Long"}),
        ({"type": "number"}, {"type": "String"}),
        ({"type": "boolean"}, {"type": "Boolean"}),
        ({"type": "array", "items": {"type": "number"}}, {"type": "Set", "element": {"type": "String"}}),
        ({"enum": ["a", "b"]}, {"type": "String"}),
        ({"const": 1}, {"type": "Long"}),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, {"type": "String"}),
        ({"$ref": "#/$defs/Day"}, {"type": "String"}),
        (
            {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {}}},
            {"type": "Record", "attributes": {"a": {"type": "Boolean", "required": False}}},
        ),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, None),
        ({"type": "array"}, None),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, None),
        ({"type": "object", "additionalProperties": {"type": "string"}}, None),
        ({"$ref": "#/$defs/Tree"}, None),
        ({"$ref": "#/$defs/Nowhere"}, None),
        ({"$ref": "https://elsewhere.example/schema"}, None),
        ({"enum": ["a", 1]}, None),
        (True, None),
        ({}, None),
        ({"type": "null"}, None),
    ],
)
def test_arguments_get_the_type_they_have_in_cedar_or_are_left_out(schema: Any, kind: Any) -> None:
    definitions = {"Day": {"type": "string"}, "Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}
    tool = {"type": "object", "properties": {"x": schema}, "required": ["x"], "$defs": definitions}
    assert arguments_kind(tool)["attributes"].get("x") == (kind and kind | {"required": True})


@pytest.mark.parametrize(
    "nullable", [{"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": ["integer", "null"]}]
)
def test_null_is_absence(nullable: dict[str, Any]) -> None:
    tool = {"type": "object", "properties": {"x": nullable}, "required": ["x"]}
    assert arguments_kind(tool)["attributes"] == {"x": {"type": "Long", "required": False}}
    assert cedar_record({"x": None}) == {}


def test_tools_of_one_name_share_what_they_agree_on() -> None:
    def tool(required: list[str], **properties: str) -> ToolShape:
        kinds = {name: {"type": kind} for name, kind in properties.items()}
        return ToolShape("look", "T0", "read", {"type": "object", "properties": kinds, "required": required})

    one = tool(["both", "sometimes", "either"], both="string", sometimes="string", either="string", first="integer")
    two = tool(["both", "either"], both="string", sometimes="string", either="boolean")
    for tools in ([one, two], [two, one]):
        context = schema_for(tools)[""]["actions"]["look"]["appliesTo"]["context"]["attributes"]
        assert context["arguments"]["attributes"] == {
            "both": {"type": "String", "required": True},
            "sometimes": {"type": "String", "required": False},
            "first": {"type": "Long", "required": False},
        }
        assert set(context["origins"]["attributes"]) == {"both", "sometimes", "either", "first"}


def test_the_schema_is_one_that_cedar_reads() -> None:
    assert 'action "send" appliesTo' in str(Schema.from_json_str(json.dumps(SCHEMA)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_any_arguments_are_decided_about_or_denied(arguments: dict[str, Any]) -> None:
    verdict = policy(PERMIT).decide(ask(arguments=arguments))
    try:
        cedar_record(arguments)
    except Inexpressible:
        assert (type(verdict), verdict.rule) == (Deny, "policy.inexpressible")
    else:
        assert isinstance(verdict, Allow)


SOUND_SCHEMAS = st.recursive(
    st.sampled_from([{"type": t} for t in ("string", "integer", "number", "boolean", "null")] + [{}]),
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(lambda arms: {"anyOf": arms}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(
            lambda parts: {"type": "object", "properties": parts}, st.dictionaries(st.text(), inner, max_size=3)
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), SOUND_SCHEMAS, max_size=4))
def test_any_tool_makes_a_schema_that_cedar_reads(properties: dict[str, Any]) -> None:
    assume(not any(0xD800 <= ord(c) <= 0xDFFF for c in json.dumps(properties, ensure_ascii=False)))
    shape = ToolShape("t", "T0", "read", {"type": "object", "properties": properties, "required": list(properties)})
    load(PERMIT, version="v", scope="*", schema=schema_for([shape]))


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


def questions() -> Iterator[Question]:
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
