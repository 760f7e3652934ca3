"""What a call needs of which window: from its facts, its arguments and the caps in force."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.agents.definition import DefinitionInvalid, parse_definition
from activities.ledger.caps import (
    CONSEQUENTIAL,
    DEFAULTS,
    MOST,
    AgentCap,
    CapInvalid,
    Rule,
    budget_rules,
    call_class,
    checked_rule,
    grant_rule,
    stored_rules,
)
from activities.ledger.windows import CapReached, Spender, Use, Window, call_use, windows_for
from activities.tools.facts import Facts, tier
from activities.tools.registry import BUILTIN
from workflows.contracts.budgets import Budget

ANA = Spender("agent/buyer/1", "buyer", "acme", "ana@acme.example")
PAY = Facts(effect="money", sensitive={"amount": "amount", "account": "account"})
MAIL = Facts(effect="send", sensitive={"to": "recipient", "cc": "recipient"})
SCHEMA = {"properties": {"amount": {}, "account": {}, "currency": {"default": None}}}


def pay(arguments: dict[str, Any], *rules: Rule, schema: dict[str, Any] = SCHEMA) -> list[Window]:
    return windows_for(ANA, call_use("pay", "money", PAY, arguments, schema), rules)


def mail(arguments: dict[str, Any], *rules: Rule) -> list[Window]:
    return windows_for(ANA, call_use("mail", "send", MAIL, arguments, {}), rules)


def daily(cap: int, **more: Any) -> Rule:
    return Rule(**{"scope": "agent", "unit": "minor", "period": "day", "cap": cap, "call_class": "money", **more})


# ── whose window, and how much ──────────────────────────────────────────────────────────────────────────────────────


def test_each_scope_has_its_own_key_and_a_call_without_a_requester_has_no_window_for_one() -> None:
    rules = [Rule(scope, "calls", "day", 9) for scope in ("run", "agent", "tenant", "requester", "destination")]
    found = {w.scope: w.key for w in pay({"amount": 1, "account": "gb29 nwbk"}, *rules)}
    assert found == {
        "run": "agent/buyer/1",
        "agent": "buyer",
        "tenant": "",
        "requester": "ana@acme.example",
        "destination": "GB29NWBK",
    }
    nobody = Spender("r", "buyer", "acme")
    assert windows_for(nobody, Use({"calls": 1}), [Rule("requester", "calls", "day", 9)]) == []


REACH = Facts(effect="read", sensitive={"url": "url", "host": "host", "account": "account", "to": "recipient"})
EACH_DAY = Rule("destination", "calls", "day", 9)


def places(facts: Facts, **arguments: Any) -> set[str]:
    """The destinations that a call counts for."""
    return {window.key for window in windows_for(ANA, call_use("go", "reach", facts, arguments, {}), [EACH_DAY])}


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("account", ["DE89 3704", "de89-3704", "DE89\N{NO-BREAK SPACE}3704", "DE89\N{ZERO WIDTH SPACE}3704"]),
        ("host", ["acme.example", "ACME.example.", " acme.example"]),
        ("host", ["bücher.example", "xn--bcher-kva.example"]),
        ("url", ["https://acme.example/a", "http://ACME.example.:8080/b?c"]),
        ("url", ["http://127.1/a", "http://127.1/b", "http://2130706433/", "https://ana@acme.example/"]),
        ("to", ["ana@acme.example", "Ana <ANA@acme.example>", "ana@acme.example."]),
        ("to", ["#general", "#GENERAL", "#gene\N{ZERO WIDTH SPACE}ral"]),
    ],
)
def test_a_place_written_differently_is_no_other_destination(kind: str, spellings: list[str]) -> None:
    assert len({each for spelling in spellings for each in places(REACH, **{kind: spelling})}) == 1


@pytest.mark.parametrize("name", ["Ana@acme.example", " ana@acme.example", "ana@acme.example\N{NO-BREAK SPACE}"])
def test_a_requester_who_is_spelt_differently_has_no_other_budget(name: str) -> None:
    rules = [Rule("requester", "calls", "day", 9), Rule("requester", "calls", "hour", 1, key="ANA@acme.example")]
    found = windows_for(Spender("r", "buyer", "acme", name), Use({"calls": 1}), rules)
    assert {(w.key, w.cap) for w in found} == {("ana@acme.example", 9), ("ana@acme.example", 1)}


def test_a_cap_on_one_account_counts_however_its_key_was_written() -> None:
    rule = Rule("destination", "calls", "day", 1, key="de89-3704")
    assert [w.key for w in pay({"amount": 1, "account": "DE89 3704"}, rule)] == ["DE893704"]


@pytest.mark.parametrize(
    "to",
    [
        "a@acme.example b@acme.example c@acme.example",
        "a@acme.example\nb@acme.example\nc@acme.example",
        [["a@acme.example", "b@acme.example"], "c@acme.example"],
        {"addresses": ["a@acme.example", "b@acme.example"], "cc": "c@acme.example", "name": "Ana"},
    ],
)
def test_several_people_in_one_value_are_as_many_recipients(to: Any) -> None:
    with pytest.raises(CapReached, match="needs 3"):
        mail({"to": to}, Rule("agent", "recipients", "action", 2, "send"))


def test_a_rule_counts_only_calls_of_its_class_and_only_for_its_key() -> None:
    rules = [
        Rule("agent", "calls", "day", 1, "send"),
        Rule("agent", "calls", "day", 2, "tool:refund"),
        Rule("agent", "calls", "day", 3, key="seller"),
        Rule("agent", "calls", "day", 4, "tool:pay", key="buyer"),
        Rule("agent", "calls", "day", 5),
    ]
    assert sorted((w.call_class, w.cap) for w in pay({"amount": 1}, *rules)) == [("*", 5), ("tool:pay", 4)]


@pytest.mark.parametrize(
    ("effect", "facts", "expected"),
    [
        ("read", {"output": "trusted"}, "read"),
        ("write", {"undo": "back"}, "write"),
        ("write", {}, "irreversible"),
        ("write", {"undo": "back", "sensitive": {"to": "recipient"}}, "irreversible"),
        ("send", {}, "send"),
        ("exec", {}, "exec"),
        ("money", {}, "money"),
        ("admin", {}, "admin"),
    ],
)
def test_the_class_of_a_call_follows_from_its_effect_and_tier(effect: Any, facts: Any, expected: str) -> None:
    assert call_class(effect, tier(Facts(effect=effect, **facts))) == expected
    assert call_class("read", "T3") == "reach"


def test_every_class_of_t3_and_t4_has_a_cap_for_one_action_and_daily_ones_for_all() -> None:
    for name in CONSEQUENTIAL:
        own = [rule for rule in DEFAULTS if rule.call_class == name]
        assert {rule.unit for rule in own if rule.period == "action"} >= {"minor", "recipients", "bytes-out"}
        assert {(rule.scope, rule.unit) for rule in own if rule.period == "day"} >= {
            ("agent", "calls"),
            ("tenant", "calls"),
            ("agent", "minor"),
            ("tenant", "minor"),
            ("agent", "recipients"),
        }


# ── money ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_money_counts_for_each_currency_by_itself() -> None:
    [euro] = pay({"amount": 700, "currency": "EUR"}, daily(1_000))
    [yen] = pay({"amount": 700, "currency": "JPY"}, daily(1_000))
    [none] = pay({"amount": 700}, daily(1_000), schema={"properties": {"amount": {}}})
    assert [w.unit for w in (euro, yen, none)] == ["minor:EUR", "minor:JPY", "minor:XXX"]
    assert euro.amount == 700 and euro.rule == "budget.minor.agent.day"


def test_amounts_in_lists_and_defaults_that_the_tool_would_use_count() -> None:
    schema = {"properties": {"amount": {"default": 40}, "currency": {"default": "EUR"}}}
    assert [(w.unit, w.amount) for w in pay({}, daily(100), schema=schema)] == [("minor:EUR", 40)]
    assert [w.amount for w in pay({"amount": [30, 20]}, daily(100))] == [50]


HOSTILE = [
    -1,
    True,
    False,
    1.5,
    math.nan,
    math.inf,
    -math.inf,
    "500",
    "1e3",
    None,
    {"value": 5},
    [1, "2"],
    [[1]],
    10**30,
]


@pytest.mark.parametrize("amount", HOSTILE, ids=repr)
def test_an_amount_that_is_no_whole_number_of_minor_units_is_refused(amount: Any) -> None:
    facts = call_use("pay", "money", PAY, {}, {})
    with pytest.raises(CapReached) as refused:
        windows_for(ANA, Use(facts.amounts, facts.classes, PAY, {"amount": amount}), [daily(MOST)])
    assert refused.value.rule == "budget.amount"


@pytest.mark.parametrize(
    "currency", ["eur", "EURO", "XYZ", "XXX", "XTS", "", "€", 978, True, ["EUR"], {"a": 1}, "EUR\u200b"]
)
def test_a_currency_that_does_not_exist_is_refused_for_it_would_be_a_way_around_the_cap(currency: Any) -> None:
    with pytest.raises(CapReached) as refused:
        pay({"amount": 1, "currency": currency}, daily(1_000))
    assert refused.value.rule == "budget.currency"


def test_an_amount_that_no_cap_is_about_is_not_looked_at() -> None:
    assert pay({"amount": "many"}, Rule("agent", "calls", "day", 9))


@given(amount=st.integers(0, MOST), cap=st.integers(0, MOST))
def test_one_action_above_its_cap_is_refused_and_any_other_is_not_stored(amount: int, cap: int) -> None:
    try:
        assert pay({"amount": amount}, daily(cap, period="action")) == []
        assert amount <= cap
    except CapReached as refused:
        assert amount > cap and refused.rule == "budget.minor.agent.action"


# ── recipients ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_recipients_count_once_each_in_whatever_spelling() -> None:
    rule = Rule("agent", "recipients", "day", 9, "send")
    [window] = mail({"to": "Ana <ANA@acme.example>, bo@acme.example", "cc": ["ana@ACME.example", "#ops"]}, rule)
    assert window.amount == 3 and window.members and len(window.members) == 3
    [again] = mail({"to": "bo@acme.example"}, rule)
    assert set(again.members or ()) < set(window.members)
    assert mail({"to": None}, rule) == mail({"to": ""}, rule) == []


# ── which cap counts ────────────────────────────────────────────────────────────────────────────────────────────────


def caps(*rows: dict[str, Any]) -> tuple[Rule, ...]:
    """Rules as the tables hold them."""
    row = {"tenant": "acme", "scope": "agent", "key": "*", "unit": "minor", "class": "money", "period": "day"}
    return stored_rules(json.dumps([row | each for each in rows]))


def cap_in_force(*rules: Rule) -> int:
    [window] = pay({"amount": 1}, *rules)
    return window.cap


def test_each_level_may_only_tighten() -> None:
    default, tenant = daily(100), caps({"cap": 60})
    agent = AgentCap(unit="minor", per="day", most=40, calls="money").rule
    assert cap_in_force(default) == 100
    assert cap_in_force(default, *tenant) == 60
    assert cap_in_force(default, *tenant, agent) == 40
    assert cap_in_force(default, *caps({"cap": 500})) == 100
    assert cap_in_force(default, AgentCap(unit="minor", per="day", most=500, calls="money").rule) == 100
    assert cap_in_force(default, *caps({"cap": 60, "key": "buyer"}, {"cap": 70})) == 60


def test_the_operator_of_the_platform_stands_in_for_its_default_and_speaks_of_one_key_before_all() -> None:
    operator = {"tenant": "*"}
    default = daily(100)
    assert cap_in_force(default, *caps(operator | {"cap": 500})) == 500
    assert cap_in_force(default, *caps(operator | {"cap": 500}, operator | {"cap": 900, "key": "buyer"})) == 900
    assert cap_in_force(default, *caps(operator | {"cap": 50, "key": "seller"})) == 100
    assert cap_in_force(default, *caps(operator | {"cap": 500}, {"cap": 60})) == 60


LEVELS = st.sampled_from(("platform", "operator", "tenant", "agent", "grant", "request"))
RULES = st.lists(st.tuples(LEVELS, st.integers(0, 9), st.sampled_from(("*", "buyer"))), min_size=1, max_size=6)


@given(given_rules=RULES, more=st.tuples(st.sampled_from(("tenant", "agent", "grant", "request")), st.integers(0, 9)))
def test_another_cap_of_a_tenant_an_agent_or_a_request_never_permits_more(given_rules: Any, more: Any) -> None:
    rules = [daily(cap, level=level, key=key) for level, cap, key in given_rules]
    assert cap_in_force(*rules, daily(more[1], level=more[0])) <= cap_in_force(*rules)
    assert cap_in_force(*reversed(rules)) == cap_in_force(*rules)


def test_a_grant_and_a_budget_have_the_names_of_refusals_that_they_always_had() -> None:
    rules = [grant_rule("pay", 2), *budget_rules(Budget(tool_calls=3))]
    assert {(w.rule, w.cap) for w in pay({"amount": 1}, *rules)} == {("grant.per-day", 2), ("budget.tool_calls", 3)}


# ── what people write ───────────────────────────────────────────────────────────────────────────────────────────────

AGENT = "name: a\ninstructions: b\nmodel: scripted:c.yaml\ncaps:\n  - "


def test_an_agents_caps_are_read_and_stay_as_written() -> None:
    definition = parse_definition(AGENT + "{unit: minor, per: day, most: 500000, calls: money}")
    assert definition.caps[0].rule == Rule("agent", "minor", "day", 500_000, "money", level="agent")
    assert type(definition).model_validate(definition.model_dump(mode="json")) == definition
    assert parse_definition(AGENT + "{unit: calls, per: run, most: 5}").caps[0].rule.scope == "run"


@pytest.mark.parametrize(
    ("cap", "problem"),
    [
        ("{unit: minor, per: day}", "most"),
        ("{unit: minor, per: day, most: -1}", "most"),
        ("{unit: minor, per: day, most: .nan}", "most"),
        ("{unit: minor, per: day, most: .inf}", "most"),
        ('{unit: minor, per: day, most: "5"}', "most"),
        ("{unit: minor, per: day, most: 1.0}", "most"),
        ("{unit: minor, per: day, most: true}", "most"),
        ("{unit: minor, per: day, most: 1000000000000000001}", "most"),
        ("{unit: euros, per: day, most: 1}", "unit"),
        ("{unit: calls, per: week, most: 1}", "per"),
        ("{unit: calls, per: day, most: 1, calls: sends}", "calls"),
        ("{unit: calls, per: day, most: 1, class: send}", "class"),
        ("{unit: tokens, per: day, most: 1, calls: send}", "leave the class out"),
        ("{unit: slots, per: day, most: 1}", "per total"),
        ("{unit: calls, per: day, most: 1, calls: 'tool:pya'}", "does not use: pya"),
        ("{unit: 'minor:ZZZ', per: day, most: 1}", "no currency"),
        ("{unit: 'minor:eur', per: day, most: 1}", "unit"),
        ("{unit: minutes, per: action, most: 1}", "whole runs"),
    ],
)
def test_a_cap_that_would_limit_nothing_is_refused(cap: str, problem: str) -> None:
    with pytest.raises(DefinitionInvalid, match=problem):
        parse_definition(AGENT + cap)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("run", "calls", "day", 1),
        Rule("agent", "calls", "run", 1),
        Rule("agent", "calls", "day", -1),
        Rule("agent", "calls", "day", MOST + 1),
        Rule("agent", "calls", "day", 1, "sends"),
        Rule("destination", "tokens", "day", 1),
        Rule("tenant", "calls", "day", 1, key="acme"),
        Rule("agent", "minor:ABC", "day", 1, "money"),
        *(Rule("run", "calls", "run", 1, f"tool:{name}") for name in BUILTIN),
    ],
)
def test_a_cap_of_a_tenant_that_would_limit_nothing_is_refused(rule: Rule) -> None:
    with pytest.raises(CapInvalid):
        checked_rule(rule)
