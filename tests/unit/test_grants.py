"""Grants: each constraint reads a value as what it is; what cannot be read, or is of another type, does not fit."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from activities.policy.grants import Fits, Grant, GrantsField, Misfit, class_of, fit, parse_grants, tables_in

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


def check(constraint: dict[str, Any], value: Any, kind: str | None = None, origin: str | None = None) -> Fits | Misfit:
    """Whether one value of one argument fits one constraint."""
    kinds, origins = {"it": kind} if kind else {}, {"it": origin} if origin else {}
    return fit(parse_grants({"tool": {"it": constraint}})["tool"], {"it": value}, kinds, origins)


def rule(constraint: dict[str, Any], value: Any, kind: str | None = None, origin: str | None = None) -> str:
    """The rule a value violates; empty if it fits."""
    found = check(constraint, value, kind, origin)
    if isinstance(found, Fits):
        return ""
    assert "it" in found.reason
    return found.rule


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
        ({"send": {"domains": ["acme.example"]}}, "send.domains: a constraint stands beneath the name of an argument"),
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


# ── constraints ──────────────────────────────────────────────────────────────────────────────────────────────────────

DOMAINS = {"domains": ["acme.example", "*.partner.example"]}
HOSTS = {"hosts": ["docs.acme.example", "intranet.acme.example:8443"]}


@pytest.mark.parametrize(
    "value",
    [
        "ana@acme.example",
        "Ana <Ana@ACME.Example>, bo@sub.partner.example; c@a.b.partner.example",
        ["ana@acme.example", "bo@sub.partner.example"],
        [],
    ],
)
def test_recipients_of_the_granted_domains_fit(value: Any) -> None:
    assert rule(DOMAINS, value, "recipient") == ""


@pytest.mark.parametrize(
    "value",
    [
        "x@evil.example",
        "a@acme.example, x@evil.example",
        ["a@acme.example", "x@evil.example"],
        "a@acme.example.evil.com",
        "a@sub.acme.example",
        "a@partner.example",
        "a@evilpartner.example",
        "a@xacme.example",
        "a@\u0430cme.example",
        "a@acme.example" + ", b@acme.example" * 40 + ", x@evil.example",
    ],
)
def test_one_recipient_elsewhere_is_one_too_many(value: Any) -> None:
    found = check(DOMAINS, value, "recipient")
    assert isinstance(found, Misfit) and found.rule == "grant.domains"
    assert "acme.example, *.partner.example" in found.reason


def test_the_reason_names_the_argument_what_it_is_and_what_is_allowed() -> None:
    found = check(DOMAINS, "a@acme.example" + ", b@acme.example" * 40 + ", x@evil.example", "recipient")
    assert found == Misfit(
        "grant.domains", "it is 'x@evil.example'; the grant allows domains acme.example, *.partner.example"
    )


@pytest.mark.parametrize(
    "value", ["", "evil.com#@acme.example <", "a@acme.example\r\nBcc: x@evil.example", "a@b@acme.example"]
)
def test_recipients_that_cannot_be_read_do_not_fit(value: str) -> None:
    assert rule(DOMAINS, value, "recipient") == "grant.unreadable"


@pytest.mark.parametrize("value", [7, True, 1.5, {"a": "ana@acme.example"}, [["ana@acme.example"]], [None]])
@pytest.mark.parametrize(
    "constraint", [DOMAINS, HOSTS, {"under": "/srv"}, {"schemes": ["https"]}, {"tables": ["t"]}, {"one_of": ["x"]}]
)
def test_a_value_of_another_type_violates_a_constraint_on_text(constraint: dict[str, Any], value: Any) -> None:
    assert rule(constraint, value).startswith("grant.")


@pytest.mark.parametrize(
    "url",
    [
        "https://docs.acme.example/x",
        "HTTPS://DOCS.ACME.EXAMPLE:443/",
        "https://docs.acme.example./",
        "https://intranet.acme.example:8443/x",
        ["https://docs.acme.example/a", "https://docs.acme.example/b"],
    ],
)
def test_urls_of_the_granted_hosts_fit(url: Any) -> None:
    assert rule(HOSTS, url, "url") == ""


@pytest.mark.parametrize(
    ("url", "violated"),
    [
        ("http://docs.acme.example/", "grant.schemes"),
        ("https://docs.acme.example:8443/", "grant.hosts"),
        ("https://intranet.acme.example/", "grant.hosts"),
        ("https://docs.acme.example.evil.com/", "grant.hosts"),
        ("https://evil.com/docs.acme.example", "grant.hosts"),
        ("https://evil.com#@docs.acme.example", "grant.hosts"),
        ("https://evil.com?docs.acme.example", "grant.hosts"),
        ("https://xdocs.acme.example/", "grant.hosts"),
        ("https://docs.\u0430cme.example/", "grant.hosts"),
        (["https://docs.acme.example/a", "https://evil.com/b"], "grant.hosts"),
        ("https://docs.acme.example@evil.com/", "grant.unreadable"),
        ("https://docs.acme.example\\@evil.com/", "grant.unreadable"),
        ("https://docs.acme.example%2eevil.com/", "grant.unreadable"),
        ("evil.com#@docs.acme.example", "grant.unreadable"),
        ("docs.acme.example", "grant.unreadable"),
        ("javascript://docs.acme.example/%0aalert(1)", "grant.unreadable"),
        ("https://docs.acme.example/\r\nHost: evil.com", "grant.unreadable"),
    ],
)
def test_urls_that_lead_elsewhere_do_not_fit(url: Any, violated: str) -> None:
    assert rule(HOSTS, url, "url") == violated
    assert rule(HOSTS, url) == violated  # whether or not the tool says that it is a URL


def test_a_scheme_that_is_written_counts_and_brings_its_own_port() -> None:
    both = {"hosts": ["h.example"], "schemes": ["http", "https"]}
    assert [rule(both, url) for url in ("http://h.example/", "https://h.example/", "http://h.example:80/")] == [""] * 3
    assert rule(both, "http://h.example:443/") == "grant.hosts"


def test_a_bare_host_is_compared_with_its_port() -> None:
    assert rule(HOSTS, "DOCS.acme.example.", "host") == rule(HOSTS, "intranet.acme.example:8443", "host") == ""
    for value in ("docs.acme.example:8443", "intranet.acme.example", "evil.com", "docs.acme.example/x", "1.2"):
        assert rule(HOSTS, value, "host"), value
    assert rule(HOSTS | {"schemes": ["https"]}, "docs.acme.example", "host") == "grant.schemes"
    assert rule(HOSTS | {"under": "/"}, "docs.acme.example", "host") == "grant.under"


def test_a_url_lies_under_a_path_only_after_its_dots_are_resolved() -> None:
    public = {"hosts": ["h.example"], "under": "/public"}
    for path in ("/public", "/public/", "/public/a?b=../..", "/x/../public/a", "/%70ublic/a"):
        assert rule(public, f"https://h.example{path}", "url") == "", path
    for path in ("/", "", "/public2", "/public/../x", "/public/%2e%2e/x", "/publi", "/x#/public"):
        assert rule(public, f"https://h.example{path}", "url") == "grant.under", path
    for path in ("/public/..%2fx", "/public/%252e%252e/x", "/public/..;/x", "/public/..%5cx", "/public//../x"):
        assert rule(public, f"https://h.example{path}", "url") == "grant.unreadable", path


def test_a_file_lies_under_its_root() -> None:
    reports = {"under": "/srv/reports"}
    for path in ("/srv/reports/a", "a/b", "/srv/reports/x/../a", ["a", "/srv/reports/b"]):
        assert rule(reports, path, "path") == "", path
    for path in ("/srv/reports2/a", "../x", "/etc/passwd", ["a", "/etc/passwd"], "https://evil.com/a", "file:///a"):
        assert rule(reports, path, "path") == "grant.under", path
    for path in ("~/a", "a\x00", "..\\a", "%2e%2e/a", ""):
        assert rule(reports, path, "path") == "grant.unreadable", path
    assert rule({"under": "/public"}, "https://evil.com/public", "path") == "grant.under"


def test_numbers_are_whole_numbers() -> None:
    amount = {"min": 1, "max": 500}
    assert [rule(amount, value, "amount") for value in (1, 500, [1, 500])] == ["", "", ""]
    assert rule(amount, 0) == rule(amount, -1) == "grant.min"
    assert rule(amount, 501) == rule(amount, [1, 501]) == "grant.max"
    for value in (True, "5", 5.0, float("nan"), float("inf"), {"value": 5}):
        assert rule(amount, value), value
    assert rule({"max": 1}, False) == "grant.max"
    assert rule({"min": 0}, True) == "grant.min"


def test_a_choice_is_of_its_own_type() -> None:
    assert rule({"one_of": ["EUR", 1, True]}, "EUR") == rule({"one_of": [1]}, 1) == rule({"one_of": [True]}, True) == ""
    for choices, value in ((["EUR"], "eur"), (["EUR"], "EUR "), ([1], True), ([True], 1), ([1], 1.0), ([1], "1")):
        assert rule({"one_of": choices}, value) == "grant.one_of", (choices, value)


def test_lengths_are_of_text_lists_and_objects() -> None:
    assert rule({"max_length": 3}, "abc") == rule({"max_length": 3}, ["abc", "abc"]) == ""
    assert rule({"max_length": 3}, "abcd") == rule({"max_length": 3}, ["abc", "abcd"]) == "grant.max_length"
    assert rule({"max_length": 7}, {"a": 1}) == rule({"max_length": 7}, [{"a": 1}, {"b": 2}]) == ""
    assert rule({"max_length": 6}, {"a": 1}) == rule({"max_length": 6}, [{"a": 1}]) == "grant.max_length"
    assert rule({"max_length": 6}, 1) == "grant.max_length"
    assert rule({"max_items": 2}, [{}, {}]) == rule({"max_items": 2}, {"a": 1, "b": 2}) == ""
    assert rule({"max_items": 2}, [1, 2, 3]) == rule({"max_items": 0}, {"a": 1}) == "grant.max_items"
    assert rule({"max_items": 2}, "ab") == rule({"max_items": 2}, 2) == "grant.max_items"


def test_a_value_comes_from_where_the_grant_says() -> None:
    account = {"origin": ["user", "trusted"]}
    assert rule(account, "A-1", "account", "user") == rule(account, "A-1", "account", "trusted") == ""
    for origin in ("untrusted", "model", None):
        assert rule(account, "A-1", "account", origin) == "grant.origin"


def test_an_argument_that_is_not_given_violates_what_matters() -> None:
    for constraint in (DOMAINS, HOSTS, {"under": "/srv"}, {"origin": ["user"]}, {"max": 5}, {"tables": ["t"]}):
        for kind in (None, "recipient"):
            assert rule(constraint, None, kind, "user") == f"grant.{next(iter(constraint))}"
            assert rule({**constraint, "optional": True}, None, kind) == ""
    for constraint in ({"max_length": 5}, {"max_items": 5}, {"one_of": ["a"]}):
        assert rule(constraint, None) == ""
        assert rule(constraint, None, "account", "user") == f"grant.{next(iter(constraint))}"
    assert isinstance(fit(GRANTS["write_file"], {}, {"path": "path"}, {}), Misfit)


class Hostile(dict[str, Any]):
    """A value that raises when it is looked at."""

    def __len__(self) -> int:
        raise RuntimeError("look elsewhere")


def test_a_value_that_raises_while_it_is_checked_does_not_fit() -> None:
    assert rule({"max_items": 5}, Hostile()) == "grant.unreadable"
    assert rule({"max_length": 99}, {"x": float("nan")}) == "grant.unreadable"
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert rule({"max_length": 10**9}, [deep]) == "grant.unreadable"


def test_a_reason_shows_hidden_characters_and_no_secrets() -> None:
    hidden = check({"one_of": ["a"]}, "a\u202e")
    assert isinstance(hidden, Misfit) and "<U+202E>" in hidden.reason
    for constraint in ({"one_of": ["a"]}, DOMAINS, {"max": 4}):
        secret = check(constraint, "hunter2 hunter2", "secret")
        assert isinstance(secret, Misfit) and "hunter2" not in secret.reason


# ── alternatives ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_alternative_that_fits_is_named() -> None:
    mail = {"to": "ana@acme.example", "subject": "s", "text": "t"}
    first = fit(GRANTS["send_mail"], mail, {"to": "recipient"}, {})
    assert isinstance(first, Fits)
    assert (first.index, first.constrained, first.bounded) == (0, {"to", "subject", "text"}, {"to"})
    second = fit(GRANTS["send_mail"], mail | {"to": "press@news.example"}, {"to": "recipient"}, {})
    assert isinstance(second, Fits) and second.index == 1 and second.grant == GRANTS["send_mail"][1]
    assert fit(GRANTS["close_ticket"], {"any": object()}, {}, {}) == Fits(0, frozenset(), Grant())


def test_the_reason_is_of_the_alternative_that_came_closest() -> None:
    far, near = {"a": {"max": 1}, "b": {"max": 1}}, {"a": {"max": 9}, "b": {"max": 2}}
    for written in ([far, near], [near, far]):
        found = fit(parse_grants({"t": written})["t"], {"a": 5, "b": 5}, {}, {})
        assert found == Misfit("grant.max", "b is '5'; the grant allows max 2")


def test_no_grant_is_no_permission() -> None:
    assert fit((), {}, {}, {}) == Misfit("grant.none", "there is no grant for it")


def test_like_this_means_the_same_values_wherever_the_grant_leaves_them_open() -> None:
    kinds = {"to": "recipient", "account": "account", "amount": "amount"}
    base = {"to": "a@acme.example", "account": "A-1", "amount": 5, "text": "hello"}

    def digest(bounded: set[str] = {"to", "amount"}, index: int = 0, pin: str = "h", **changes: Any) -> str:  # noqa: B006
        return class_of("pay", pin, index, base | changes, kinds, frozenset(bounded))

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
    found = fit(parse_grants({"t": loose})["t"], given, kinds, {"account": "user"})
    assert isinstance(found, Fits) and found.constrained == set(loose) and found.bounded == frozenset()
    tight = {"account": {"one_of": ["A"]}, "url": {"hosts": ["h.example"]}, "path": {"under": "/"}}
    found = fit(parse_grants({"t": tight})["t"], given, kinds, {})
    assert isinstance(found, Fits) and found.bounded == set(tight)


# ── SQL ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT 1", set()),
        ("select * from orders", {"orders"}),
        ("SELECT o.id, count(*) AS n FROM shop.orders AS o WHERE o.b IN (1, 'a''s') GROUP BY o.id, x", {"shop.orders"}),
        ("SELECT a FROM orders o, customers c WHERE o.c = c.id ORDER BY a, b LIMIT 10", {"orders", "customers"}),
        ("SELECT a FROM orders o LEFT JOIN x USING (id) INNER JOIN y ON y.a = o.b, z", {"orders", "x", "y", "z"}),
        ("SELECT a FROM (SELECT b FROM orders) s, customers", {"orders", "customers"}),
        ("SELECT a FROM orders WHERE x = (SELECT max(y) FROM customers)", {"orders", "customers"}),
        ("SELECT a FROM orders UNION ALL SELECT b, c FROM customers", {"orders", "customers"}),
        ("INSERT INTO orders (a, b) VALUES (1, 'x'), (2, 'y; DROP TABLE z -- ')", {"orders"}),
        ("INSERT INTO orders SELECT a, b FROM customers", {"orders", "customers"}),
        ("UPDATE orders SET a = 1, b = (SELECT max(c) FROM x) WHERE d = 2", {"orders", "x"}),
        ("DELETE FROM orders WHERE id = 1", {"orders"}),
    ],
)  # fmt: skip
def test_plain_sql_is_read(statement: str, tables: set[str]) -> None:
    assert tables_in(statement) == tables
    if tables:
        assert rule({"tables": [*tables]}, statement, "sql") == ""
        assert rule({"tables": ["other", *sorted(tables)[1:]]}, statement, "sql") == "grant.tables"


SNEAKY = [
    "",
    "SELECT * FROM orders;",
    "SELECT * FROM orders; DROP TABLE orders",
    "SELECT * FROM orders, secrets",
    "SELECT * FROM orders o, secrets",
    "SELECT * FROM orders AS o, secrets",
    "SELECT * FROM orders set, secrets",
    "SELECT * FROM orders values, secrets",
    "SELECT * FROM orders offset, secrets",
    "UPDATE orders SET a = 1 FROM orders set, secrets",
    "UPDATE orders set SET a = 1 FROM orders o, secrets",
    "INSERT INTO orders SELECT * FROM orders values, secrets",
    "SELECT * FROM (SELECT 1) x, secrets",
    "SELECT * FROM orders JOIN orders o ON (1 = 1), secrets",
    "SELECT * FROM orders WHERE a IN (1, 2) UNION SELECT * FROM secrets",
    "SELECT * FROM orders UNION TABLE secrets",
    "TABLE secrets",
    "INSERT INTO orders TABLE secrets",
    "SELECT (TABLE secrets) FROM orders",
    "SELECT * FROM orders STRAIGHT_JOIN secrets",
    "SELECT * FROM orders o STRAIGHT_JOIN secrets",
    "SELECT * FROM orders JOIN orders o ON 1 = 1 STRAIGHT_JOIN offset",
    "SELECT * FROM orders CROSS APPLY secrets",
    "SELECT * FROM (orders JOIN secrets ON 1 = 1)",
    "SELECT * FROM orders JOIN (secrets) ON 1 = 1",
    "SELECT * FROM orders, LATERAL secrets",
    "SELECT * FROM ONLY secrets",
    "DELETE FROM orders USING secrets",
    "DELETE FROM orders USING (secrets)",
    "DELETE orders FROM secrets",
    "WITH orders AS (SELECT * FROM secrets) SELECT * FROM orders",
    "SELECT * FROM orders WHERE a = (WITH x AS (SELECT 1) SELECT 1)",
    'SELECT * FROM "secrets"',
    "SELECT * FROM `secrets`",
    "SELECT * FROM [secrets]",
    "SELECT * FROM orders.secrets",
    "SELECT * FROM orders . secrets",
    "SELECT * FROM.secrets",
    "SELECT * FROM/**/secrets",
    "SELECT * FROM orders -- , x",
    "SELECT * FROM orders /* */",
    "SELECT * FROM orders # x",
    "SELECT 1/*!, a FROM secrets */",
    "SELECT query_to_xml('SELECT * FROM secrets', true, true, '')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM dblink('SELECT 1')",
    "SELECT * FROM orders INTO OUTFILE '/etc/x'",
    "SELECT * INTO secrets FROM orders",
    "SELECT 'a\\' FROM secrets WHERE b = ' '",
    "SELECT E'a' FROM orders",
    "SELECT $$ ' $$ FROM orders",
    "SELECT 1FROM secrets",
    "SELECT 1.FROM secrets",
    "SELECT 'a'FROM secrets",
    "SELECT 1 EXEC xp_cmdshell 'x'",
    "SELECT * FROM orders EXEC xp_cmdshell 'x'",
    "SELECT 1 DELETE FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "DROP TABLE orders",
    "TRUNCATE orders",
    "COPY orders TO PROGRAM 'sh'",
    "EXPLAIN ANALYZE SELECT * FROM orders",
    "CALL x",
    "SELECT * FROM orders)",
    "SELECT (1 FROM orders",
    "SELECT * FROM",
    "SELECT * FROM 'orders'",
    "SELECT * FROM ORDERS",
    "SELECT * FROM order\u017f",
    "SELECT\u00a0* FROM orders",
    "SELECT\x0c* FROM orders",
    "SELECT '\x00' FROM orders",
]


@pytest.mark.parametrize("statement", SNEAKY)
def test_no_sql_reaches_a_table_that_is_not_granted(statement: str) -> None:
    assert rule({"tables": ["orders"]}, statement, "sql") in ("grant.tables", "grant.unreadable")


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────

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
    if isinstance(fit(alternatives, arguments, KINDS, origins), Misfit):
        assert isinstance(fit(fewer, arguments, KINDS, origins), Misfit)


@settings(max_examples=200)
@given(tightened(), ARGUMENTS, ORIGINS)
def test_tightening_a_constraint_never_permits_more(
    pair: tuple[Mapping[str, Any], Mapping[str, Any]], arguments: dict[str, Any], origins: dict[str, str]
) -> None:
    loose, tight = (parse_grants({"tool": each})["tool"] for each in pair)
    if isinstance(fit(tight, arguments, KINDS, origins), Fits):
        assert isinstance(fit(loose, arguments, KINDS, origins), Fits)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(CONSTRAINTS, JSON, st.sampled_from([None, *KINDS.values(), "host", "sql", "secret"]))
def test_whatever_the_model_sends_there_is_an_answer(constraint: dict[str, Any], value: Any, kind: str | None) -> None:
    found = check(constraint, value, kind)
    assert isinstance(found, Fits) or (found.rule.startswith("grant.") and found.reason)
    if "domains" in constraint or "hosts" in constraint or "tables" in constraint:
        absent = value is None and constraint.get("optional")
        assert absent or value == [] or isinstance(found, Misfit)  # no random text names a granted place


@given(st.dictionaries(st.sampled_from(["send", "pay"]), st.lists(GRANT, min_size=1, max_size=3)))
def test_grants_survive_a_json_round_trip(written: dict[str, Any]) -> None:
    definition = Definition.model_validate({"grants": written})
    assert Definition.model_validate_json(definition.model_dump_json()) == definition
