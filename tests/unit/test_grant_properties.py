"""Grants, whatever is granted and whatever the model sends: less grant never permits more, and there is an answer."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from activities.policy.engine.evaluation import Call, Evaluation, evaluate
from activities.policy.engine.verdicts import Allow, Deny, strictness
from activities.policy.grants.constraints import Violation
from activities.policy.grants.grants import GrantMatch, GrantsField, match_grants, parse_grants
from activities.policy.values.provenance import Evidence, Passage
from activities.tools.facts import Facts

KINDS = {"a": "recipient", "b": "url", "c": "path", "d": "amount", "e": "account"}
TEXTS = [
    *("", "x", "EUR", "ana@acme.example", "x@evil.example", "a@acme.example, x@evil.example", "/p/a", "/p/../x", "p/a"),
    *("https://h.example/p/a", "https://h.example:8443/p", "http://h.example/", "https://h.example@evil.com/"),
    *("SELECT * FROM orders", "SELECT 1 FROM orders, secrets"),
]
VALUES = st.sampled_from([*TEXTS, None, True, 0, 1, 7, 5.0, [], [1, 7], ["x", "EUR"], {"k": "v"}])
ORIGINS = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["user", "trusted", "untrusted", "model"]))
ARGUMENTS = st.dictionaries(st.sampled_from("abcde"), VALUES, min_size=1)


def subsets(*choices: Any) -> st.SearchStrategy[list[Any]]:
    """A list that may be tightened."""
    return st.lists(st.sampled_from(choices), min_size=1, unique=True)


CONSTRAINTS = st.fixed_dictionaries(
    {},
    optional={
        "domains": subsets("acme.example", "evil.example", "*.example"),
        "hosts": subsets("h.example", "h.example:8443", "evil.com"),
        "schemes": subsets("http", "https"),
        "under": st.sampled_from(["/", "/p", "/p/a"]),
        "min": st.integers(-1, 3),
        "max": st.integers(4, 9),
        "one_of": subsets("x", "EUR", 1, True, 7),
        "max_length": st.integers(0, 40),
        "max_items": st.integers(0, 3),
        "tables": subsets("orders", "secrets"),
        "origin": subsets("user", "trusted", "untrusted", "model"),
        "optional": st.booleans(),
    },
).filter(lambda written: set(written) - {"optional"})
GRANT = st.dictionaries(st.sampled_from("abcde"), CONSTRAINTS, max_size=3)
HARMLESS = {"a": ({"domains": ["acme.example"]},), "b": ({"hosts": ["h.example"]}, {"schemes": ["https"]})}
HARMLESS |= {"text": ({"max_length": 99},), "note": ({"max_length": 99},)}
FITTING = st.fixed_dictionaries(
    {}, optional={**{name: st.sampled_from(each) for name, each in HARMLESS.items()}, "per_day": st.integers(1, 3)}
)


@st.composite
def tightened(draw: st.DrawFn) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A grant, and one that asks for the same or more."""
    loose = draw(GRANT)
    tight = {name: {key: draw(tighter(key, value)) for key, value in each.items()} for name, each in loose.items()}
    extra = draw(GRANT)
    return loose, {
        name: {**{key: value for key, value in extra.get(name, {}).items() if key != "optional"}, **tight.get(name, {})}
        for name in loose.keys() | {name for name in extra if name not in loose}
    }


def tighter(key: str, value: Any) -> st.SearchStrategy[Any]:
    """The same constraint, or a stricter one."""
    match key:
        case "under":
            return st.sampled_from([value, (value + "/a").replace("//", "/")])
        case "min":
            return st.integers(value, 3)
        case "max" | "max_length" | "max_items":
            return st.integers(4 if key == "max" else 0, value)
        case "optional":
            return st.sampled_from([False, value])
    return st.lists(st.sampled_from(value), min_size=1, unique_by=lambda each: (type(each), each))


@given(st.lists(GRANT, min_size=1, max_size=4), ARGUMENTS, ORIGINS, st.data())
def test_taking_an_alternative_away_never_permits_more(
    written: list[dict[str, Any]], arguments: dict[str, Any], origins: dict[str, str], data: st.DataObject
) -> None:
    alternatives = parse_grants({"tool": written})["tool"]
    gone = data.draw(st.integers(0, len(written) - 1))
    fewer = alternatives[:gone] + alternatives[gone + 1 :]
    if isinstance(match_grants(alternatives, arguments, KINDS, origins), Violation):
        assert isinstance(match_grants(fewer, arguments, KINDS, origins), Violation)


@given(st.lists(FITTING, min_size=1, max_size=4), st.sampled_from(["read", "send"]), st.data())
def test_what_an_alternative_less_is_judged_as_is_never_looser(
    written: list[dict[str, Any]], effect: Any, data: st.DataObject
) -> None:
    gone = data.draw(st.integers(0, len(written) - 1))
    before, after = (_judged(each, effect) for each in (written, written[:gone] + written[gone + 1 :]))
    assert strictness(after.verdict) >= strictness(before.verdict)
    assert after.tier >= before.tier
    if after.grant and before.grant and not isinstance(after.verdict, Deny):
        assert (after.grant.per_day or 99) <= (before.grant.per_day or 99)


def _judged(written: list[dict[str, Any]], effect: Any) -> Evaluation:
    arguments = {"a": "ana@acme.example", "b": "https://h.example/p/a", "text": "hello", "note": "hello"}
    facts = Facts(effect=effect, contract="idempotent", output="trusted", sensitive={"a": "recipient", "b": "url"})
    said = Passage(0, "user", "tell ana@acme.example of https://h.example/p/a")
    evidence = Evidence((said, Passage(1, "untrusted", "page")))
    grants = parse_grants({"tool": written} if written else {})
    return evaluate(Call("tool", facts, arguments, evidence, "tiered", grants), lambda _: Allow("policy.permit", "yes"))


@settings(max_examples=200)
@given(tightened(), ARGUMENTS, ORIGINS)
def test_tightening_a_constraint_never_permits_more(
    pair: tuple[Mapping[str, Any], Mapping[str, Any]], arguments: dict[str, Any], origins: dict[str, str]
) -> None:
    loose, tight = (parse_grants({"tool": each})["tool"] for each in pair)
    if isinstance(match_grants(tight, arguments, KINDS, origins), GrantMatch):
        assert isinstance(match_grants(loose, arguments, KINDS, origins), GrantMatch)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(CONSTRAINTS, JSON, st.sampled_from([None, *KINDS.values(), "host", "sql", "secret"]))
def test_whatever_the_model_sends_there_is_an_answer(constraint: dict[str, Any], value: Any, kind: str | None) -> None:
    grants = parse_grants({"tool": {"it": constraint}})["tool"]
    found = match_grants(grants, {"it": value}, {"it": kind} if kind else {}, {})
    assert isinstance(found, GrantMatch) or (found.rule.startswith("grant.") and found.reason)
    if "domains" in constraint or "hosts" in constraint or "tables" in constraint:
        absent = value is None and constraint.get("optional")
        assert absent or value == [] or isinstance(found, Violation)  # no random text names a granted place


@given(st.dictionaries(st.sampled_from(["send", "pay"]), st.lists(GRANT, min_size=1, max_size=3)))
def test_grants_survive_a_json_round_trip(written: dict[str, Any]) -> None:
    grants = TypeAdapter(GrantsField)
    read = grants.validate_python(written)
    assert grants.validate_json(grants.dump_json(read)) == read
