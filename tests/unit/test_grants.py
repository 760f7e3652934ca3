"""Grants: as written in YAML, read back unchanged, refused where they are wrong; the first alternative that fits."""

import json
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from activities.policy.grants.constraints import Violation
from activities.policy.grants.grants import (
    Grant,
    GrantMatch,
    GrantsField,
    match_grants,
    parse_grants,
    similar_calls_digest,
)

WRITTEN = """
send_mail:
  - to: {domains: [ACME.example, "*.partner.example"]}
    subject: {max_length: 200}
    text: {max_length: 5000}
  - to: {one_of: [press@news.example]}
fetch: {url: {hosts: ["docs.acme.example", "intranet.acme.example:8443"], under: /public}}
write_file: {path: {under: /srv/reports}}
pay: {amount: {min: 1, max: 50000}, currency: {one_of: [EUR]}, account: {origin: [user, trusted]}}
query: {sql: {tables: [orders, customers]}, rows: {max: 1000}}
order: {items: {max_items: 3}}
close_ticket: {}
reset: {per_day: 50, account: {origin: [trusted]}}
"""
GRANTS = parse_grants(yaml.safe_load(WRITTEN))

# ── as written ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Definition(BaseModel):
    """Something that has grants."""

    grants: GrantsField | None = None


def test_what_was_written_is_dumped_and_read_again_unchanged() -> None:
    definition = Definition.model_validate({"grants": yaml.safe_load(WRITTEN)})
    assert definition.grants == GRANTS
    for mode in ("json", "python"):
        assert Definition.model_validate(definition.model_dump(mode=mode)) == definition
    assert Definition.model_validate_json(definition.model_dump_json()) == definition
    assert Definition.model_validate(dict(definition)) == definition
    assert Definition.model_validate({}).grants is None
    dumped = json.loads(definition.model_dump_json())["grants"]
    assert dumped["reset"] == [{"per_day": 50, "account": {"origin": ["trusted"]}}]
    assert dumped["send_mail"][0]["to"] == {"domains": ["acme.example", "*.partner.example"]}


def test_editors_are_told_how_grants_are_written() -> None:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(TypeAdapter(GrantsField).json_schema())
    assert validator.is_valid(yaml.safe_load(WRITTEN))
    assert not validator.is_valid({"send_mail": {"to": {"domians": ["acme.example"]}}})


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"send": {"to": {"domians": ["acme.example"]}}}, "send.to.domians: unknown key; did you mean 'domains'?"),
        ({"send": {"to": {"regex": ".*"}}}, "send.to.regex: unknown key; known keys: domains"),
        ({"send": {"perday": 5}}, "send.perday: did you mean 'per_day'?"),
        ({"send": {"domains": ["acme.example"]}}, "send.domains: a constraint belongs under the name of an argument"),
        ({"send": {"to": "acme.example"}}, "send.to: the constraints of an argument are a mapping"),
        ({"send": {"to": {}}}, "send.to: no constraint is given"),
        ({"send": {"to": {"optional": True}}}, "send.to: no constraint is given"),
        ({"send": None}, "send: a mapping is expected; write {}"),
        ({"send": []}, "send: an empty list grants nothing"),
        ({"send": [{}, {"to": {"domains": []}}]}, "send.1.to.domains"),
        ({"send": {"to": {"domains": ["acme.example/x"]}}}, "send.to.domains"),
        ({"send": {"to": {"domains": ["a.example, x@b.example"]}}}, "send.to.domains"),
        ({"send": {"to": {"domains": ["*"]}}}, "send.to.domains"),
        ({"send": {"to": {"domains": "acme.example"}}}, "send.to.domains"),
        ({"get": {"url": {"hosts": ["*.acme.example"]}}}, "get.url.hosts"),
        ({"get": {"url": {"hosts": ["https://acme.example"]}}}, "get.url.hosts"),
        ({"get": {"url": {"hosts": ["acme.example/public"]}}}, "get.url.hosts"),
        ({"get": {"url": {"hosts": ["me@acme.example"]}}}, "get.url.hosts"),
        ({"get": {"url": {"schemes": ["ftp"]}}}, "get.url.schemes"),
        ({"put": {"path": {"under": "reports"}}}, "not absolute"),
        ({"put": {"path": {"under": "/srv/%2e%2e"}}}, "put.path"),
        ({"pay": {"amount": {"max": "500"}}}, "pay.amount.max"),
        ({"pay": {"amount": {"max": True}}}, "pay.amount.max"),
        ({"pay": {"amount": {"max": 5.0}}}, "pay.amount.max"),
        ({"pay": {"amount": {"min": 5, "max": 4}}}, "min 5 is greater than max 4"),
        ({"pay": {"amount": {"origin": ["users"]}}}, "pay.amount.origin"),
        ({"pay": {"per_day": 0}}, "pay.per_day"),
        ({"pay": {"per_day": "many"}}, "pay.per_day"),
        ({"query": {"sql": {"tables": ["orders; drop"]}}}, "query.sql.tables"),
        (["send"], "grants is a mapping"),
        ("send", "grants is a mapping"),
    ],
)
def test_what_is_written_wrongly_is_refused_and_the_message_says_where(written: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        parse_grants(written)
    assert message in str(refusal.value)
    with pytest.raises(ValidationError):
        Definition.model_validate({"grants": written})


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"a\.x.*; b\.y"):
        parse_grants({"a": {"x": {"maxx": 1}}, "b": {"y": {"mni": 1}}})


# ── alternatives ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_alternative_that_fits_is_named() -> None:
    mail = {"to": "ana@acme.example", "subject": "s", "text": "t"}
    first = match_grants(GRANTS["send_mail"], mail, {"to": "recipient"}, {})
    assert isinstance(first, GrantMatch)
    assert (first.index, first.grant, first.bounded) == (0, GRANTS["send_mail"][0], {"to"})
    second = match_grants(GRANTS["send_mail"], mail | {"to": "press@news.example"}, {"to": "recipient"}, {})
    assert isinstance(second, GrantMatch) and second.index == 1 and second.grant == GRANTS["send_mail"][1]
    assert match_grants(GRANTS["close_ticket"], {"any": object()}, {}, {}) == GrantMatch(0, Grant(), (Grant(),))


@pytest.mark.parametrize("caps", [(1, None), (None, 1), (1, 5), (5, 1), (2, 2)])
def test_of_the_alternatives_that_fit_the_loosest_cap_holds(caps: tuple[int | None, int | None]) -> None:
    found = match_grants(tuple(Grant(per_day=cap) for cap in caps), {}, {}, {})
    assert isinstance(found, GrantMatch) and len(found.fitting) == 2
    assert found.grant.per_day == (None if None in caps else max(cap or 0 for cap in caps))
    assert found.index == (0 if caps == (2, 2) else caps.index(found.grant.per_day))


def test_the_reason_is_of_the_alternative_that_came_closest() -> None:
    far, near = {"a": {"max": 1}, "b": {"max": 1}}, {"a": {"max": 9}, "b": {"max": 2}}
    for written in ([far, near], [near, far]):
        found = match_grants(parse_grants({"t": written})["t"], {"a": 5, "b": 5}, {}, {})
        assert found == Violation("grant.max", "b is '5'; the grant allows max 2")


def test_an_argument_that_is_constrained_and_missing_does_not_fit() -> None:
    assert isinstance(match_grants(GRANTS["write_file"], {}, {"path": "path"}, {}), Violation)


def test_no_grant_is_no_permission() -> None:
    assert match_grants((), {}, {}, {}) == Violation("grant.none", "there is no grant for it")


def test_like_this_means_the_same_values_wherever_the_grant_leaves_them_open() -> None:
    kinds = {"to": "recipient", "account": "account", "amount": "amount"}
    base = {"to": "a@acme.example", "account": "A-1", "amount": 5, "text": "hello"}

    def digest(bounded: set[str] = {"to", "amount"}, index: int = 0, pin: str = "h", **changes: Any) -> str:  # noqa: B006
        return similar_calls_digest("pay", pin, index, base | changes, kinds, frozenset(bounded))

    assert digest() == digest(to="b@acme.example") == digest(amount=6) == digest(text="bye")
    others = {
        digest(account="A-2"),
        digest(index=1),
        digest(pin="i"),
        digest(note="x"),
        digest({"to"}),
        digest(account=None),
    }
    assert digest() not in others and len(others) == 6


def test_an_argument_is_bounded_only_by_what_its_kind_is_about() -> None:
    kinds = {"account": "account", "url": "url", "path": "path", "to": "recipient", "sql": "sql"}
    given = {"account": "A", "url": "https://h.example/p", "path": "a", "to": "a@b.example", "sql": "SELECT 1"}
    loose = {
        "account": {"origin": ["user"]},
        "url": {"under": "/p"},
        "to": {"max_length": 99},
        "sql": {"tables": ["t"]},
    }
    found = match_grants(parse_grants({"t": loose})["t"], given, kinds, {"account": "user"})
    assert isinstance(found, GrantMatch) and set(found.grant.arguments) == set(loose) and found.bounded == frozenset()
    tight = {"account": {"one_of": ["A"]}, "url": {"hosts": ["h.example"]}, "path": {"under": "/"}}
    found = match_grants(parse_grants({"t": tight})["t"], given, kinds, {})
    assert isinstance(found, GrantMatch) and found.bounded == set(tight)
