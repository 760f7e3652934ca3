"""Policies that are refused before they hold, each with what is wrong in it."""

from typing import Any
from unittest.mock import patch

import pytest
from cedarpy import validate_policies

from activities.policy.cedar.policy import load
from activities.policy.cedar.schema import ToolShape, schema_for
from activities.policy.cedar.store import DEFAULT
from activities.policy.engine.verdicts import Allow, Ask
from tests.unit.cedar_rules import MAIL, PERMIT, SCHEMA, ask, policy, problems


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
    with patch("activities.policy.cedar.parser.PolicySet", None):  # calling it would be another error
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
