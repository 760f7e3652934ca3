"""Tools: the schema comes from the signature, arguments are strict, and the tier follows from declared facts."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from activities.errors import Permanent
from activities.tools import Checkable, Idempotent, Irreversible, Pure, ToolContext, ToolError, foreign_tool, tool
from activities.tools.decorator import SPEC
from activities.tools.errors import InvalidArguments, ToolDeclarationError
from activities.tools.facts import Facts, tier
from activities.tools.registry import BUILTIN, BUILTIN_MODULE, ToolModuleMissing, find_tool, tools_in
from activities.tools.spec import Checked, ToolSpec
from tests.harness import toolbox

CTX = ToolContext(run_id="agent/a/1", call_id="2.0", agent="a", tenant="t", settings={"smtp": "mail"})


def spec_of(function: Callable[..., Any]) -> ToolSpec:
    """The spec of a declared function."""
    spec: ToolSpec = getattr(function, SPEC)
    return spec


def refused(spec: ToolSpec, arguments: str) -> str:
    """Why these arguments are refused."""
    with pytest.raises(InvalidArguments) as refusal:
        spec.arguments.validate(arguments)
    return str(refusal.value)


class Address(BaseModel):
    """Where to send it."""

    street: str


class Item(BaseModel):
    """A thing with a price."""

    name: str = "n"
    price: float | None = None
    exact: Decimal = Decimal(1)
    parts: list["Item"] = []


class Basket(BaseModel):
    """A result with numbers in several places."""

    total: int = 0
    items: list[Item] = []
    by_name: dict[str, int] = {}
    free: Any = None


@tool(effect="send", contract=Idempotent(), sensitive={"to": "recipient"}, output="trusted", timeout=5)
async def order(
    ctx: ToolContext,
    to: str,
    amount: int,
    weight: float = 1.0,
    tags: tuple[str, ...] = (),
    kind: Literal["a", "b"] = "a",
    count: Annotated[int, Field(ge=1, le=9)] = 1,
    address: Address | None = None,
    urgent: bool = False,
) -> str:
    """Order something.

    A second paragraph.
    """
    return f"{to}:{amount}:{kind}"


ORDER = spec_of(order)


def test_the_schema_is_that_of_the_signature_without_the_context() -> None:
    schema = ORDER.schema
    assert list(schema["properties"]) == [
        "to",
        "amount",
        "weight",
        "tags",
        "kind",
        "count",
        "address",
        "urgent",
    ]
    assert schema["required"] == ["to", "amount"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["count"] == {
        "default": 1,
        "maximum": 9,
        "minimum": 1,
        "title": "Count",
        "type": "integer",
    }
    assert schema["properties"]["kind"]["enum"] == ["a", "b"]
    assert "title" not in schema


def test_the_model_reads_the_docstring() -> None:
    assert ORDER.description == "Order something.\n\nA second paragraph."
    assert (ORDER.name, ORDER.tier, ORDER.timeout) == ("order", "T3", 5)


async def test_valid_arguments_reach_the_function_by_name() -> None:
    arguments = ORDER.arguments.validate('{"to": "bo", "amount": 5, "tags": ["x"], "weight": 2, "kind": "b"}')
    assert arguments["weight"] == 2.0 and arguments["tags"] == ("x",) and arguments["urgent"] is False
    assert await ORDER.invoke(CTX, arguments) == "bo:5:b"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", '"5"'),
        ("amount", "5.0"),
        ("amount", "5.5"),
        ("amount", "true"),
        ("amount", "null"),
        ("amount", "NaN"),
        ("weight", "NaN"),
        ("weight", "Infinity"),
        ("weight", "-Infinity"),
        ("weight", "1e999"),
        ("weight", '"1"'),
        ("to", "5"),
        ("to", '["bo"]'),
        ("urgent", "1"),
        ("urgent", '"yes"'),
        ("kind", '"c"'),
        ("count", "0"),
        ("count", "10"),
        ("tags", '"x"'),
        ("tags", "[1]"),
        ("address", '{"street": 5}'),
    ],
)
def test_a_value_of_another_type_is_refused_and_never_converted(field: str, value: str) -> None:
    given = {"to": '"bo"', "amount": "5", field: value}
    said = refused(ORDER, "{" + ", ".join(f'"{key}": {text}' for key, text in given.items()) + "}")
    assert said


@pytest.mark.parametrize(
    "arguments",
    [
        '{"to": "bo"}',
        '{"to": "bo", "amount": 5, "amonut": 6}',
        '{"to": "bo", "amount": 5, "ctx": {}}',
        "{}",
        "[]",
        '"bo"',
        "null",
        "",
        "{",
        '{"to": "bo", "amount": 5, "argument_0": "eve"}',
    ],
)
def test_missing_and_extra_arguments_are_refused(arguments: str) -> None:
    assert refused(ORDER, arguments)


def test_a_refusal_names_the_argument_and_does_not_echo_it() -> None:
    said = refused(ORDER, '{"to": "bo", "amount": "hunter2"}')
    assert "amount" in said and "hunter2" not in said


def test_an_argument_may_be_called_anything() -> None:
    @tool(effect="read")
    def odd(ctx: ToolContext, json: str, schema: int, model_config: str, _page: int, copy: str = "c") -> str:
        """Take names that pydantic uses itself."""
        return json

    spec = spec_of(odd)
    given = {"json": "{}", "schema": 1, "model_config": "m", "_page": 2}
    assert set(spec.schema["required"]) == set(given)
    assert spec.arguments.validate(json.dumps(given)) == {**given, "copy": "c"}


# ── declarations ────────────────────────────────────────────────────────────────────────────────────────────────────


def _good(ctx: ToolContext, to: str) -> str:
    """Do it."""
    return to


def _silent(ctx: ToolContext, to: str) -> str:
    return to


def _untyped(ctx: ToolContext, to) -> str:  # type: ignore[no-untyped-def]
    """Do it."""
    return str(to)


def _variadic(ctx: ToolContext, *to: str) -> str:
    """Do it."""
    return ""


def _keywords(ctx: ToolContext, **to: str) -> str:
    """Do it."""
    return ""


def _positional(ctx: ToolContext, to: str, /) -> str:
    """Do it."""
    return to


def _no_context(to: str) -> str:
    """Do it."""
    return to


def _nothing() -> str:
    """Do it."""
    return ""


def _structured(ctx: ToolContext, to: str) -> "Basket":
    """Do it."""
    return Basket()


async def _probe(ctx: ToolContext, to: str) -> str | None:
    return None


async def _never_awaited(value: Any) -> None:
    raise ValueError("nobody hears this")


@pytest.mark.parametrize(
    ("function", "facts", "says"),
    [
        (_silent, {}, "docstring"),
        (_untyped, {}, "needs a type"),
        (_variadic, {}, "name every argument"),
        (_keywords, {}, "name every argument"),
        (_positional, {}, "by name"),
        (_no_context, {}, "first parameter is the ToolContext"),
        (_nothing, {}, "first parameter is the ToolContext"),
        (_good, {"sensitive": {"tu": "recipient"}}, "'tu'"),
        (_good, {"sensitive": {"ctx": "recipient"}}, "'ctx'"),
        (_good, {"sensitive": {"to": "recipent"}}, "'recipent'"),
        (_good, {"effect": "reed"}, "'reed'"),
        (_good, {"effect": "read", "output": "Trusted"}, "'Trusted'"),
        (_good, {"check": _never_awaited}, "not awaited"),
        (_structured, {"watch": "total"}, "sequence of paths"),
        (_structured, {"watch": ("total", "total")}, "twice"),
        *((_structured, {"watch": (p,)}, "such as") for p in ("", ".", "total.", "a..b", "a b", "1", "total!apart")),
        *((_structured, {"watch": ("total", p)}, "no number") for p in ("totl", "items", "items.name", "items.exact")),
        *((_structured, {"watch": (p,)}, "no number") for p in ("total.x", "items.parts.prise", "by_name.a.b")),
        (_good, {"watch": ("stock",)}, "no number"),
        (_good, {"timeout": 0}, "timeout"),
        (_good, {"timeout": -1}, "timeout"),
        (_good, {"timeout": 86_401}, "timeout"),
        *((_good, {"effect": e, "contract": Pure()}, "Pure") for e in ("write", "send", "money", "exec", "admin")),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(function: Any, facts: dict[str, Any], says: str) -> None:
    with pytest.raises(ToolDeclarationError, match=says) as refusal:
        tool(**{"effect": "write", **facts})(function)
    assert isinstance(refusal.value, Permanent)
    assert function.__name__ in str(refusal.value)


@pytest.mark.parametrize(
    "path", ["total", "items.price", "items.parts.price", "items.parts.parts.price", "by_name.apples", "free", "free.x"]
)
def test_a_number_in_the_result_can_be_watched_wherever_it_is(path: str) -> None:
    assert spec_of(tool(effect="read", watch=[path])(_structured)).watch == (path,)


def test_what_is_not_declared_counts_as_the_strictest() -> None:
    spec = spec_of(tool()(_good))
    assert (spec.facts.effect, spec.facts.output, spec.contract) == ("admin", "untrusted", Irreversible())
    assert spec.tier == "T4"
    assert spec_of(tool(effect="read")(_good)).contract == Pure()


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(), "T4"),
        (Facts(effect="read"), "T1"),
        (Facts(effect="read", output="trusted"), "T0"),
        (Facts(effect="read", output="trusted", contract="pure"), "T0"),
        (Facts(effect="write"), "T3"),
        (Facts(effect="write", output="trusted"), "T3"),
        (Facts(effect="write", undo="back"), "T2"),
        (Facts(effect="write", undo="back", sensitive={"p": "path"}), "T2"),
        (Facts(effect="write", undo="back", sensitive={"p": "recipient"}), "T3"),
        (Facts(effect="write", undo="back", sensitive={"p": "url"}), "T3"),
        (Facts(effect="write", undo="back", sensitive={"a": "path", "b": "host"}), "T3"),
        (Facts(effect="send"), "T3"),
        (Facts(effect="send", undo="back", output="trusted", contract="idempotent"), "T3"),
        (Facts(effect="exec", undo="back"), "T3"),
        (Facts(effect="money", undo="back"), "T4"),
        (Facts(effect="admin", undo="back"), "T4"),
    ],
)
def test_the_tier_follows_from_the_facts(facts: Facts, expected: str) -> None:
    assert tier(facts) == expected


# ── identity ────────────────────────────────────────────────────────────────────────────────────────────────────────


def declared(function: Any = _good, **changes: Any) -> ToolSpec:
    """A tool with some facts changed."""
    facts: dict[str, Any] = {"effect": "write", "contract": Idempotent(), "undo": "back", **changes}
    return spec_of(tool(**facts)(function))


# Of declared(), from before there was anything to watch.
HASH = "db67164eaa6528097834806fc94e2a623fb42e921877a9fa104b671545bd2714"


def _other_text(ctx: ToolContext, to: str) -> str:
    """Do it, quietly."""
    return to


def _other_schema(ctx: ToolContext, to: str, cc: str = "") -> str:
    """Do it."""
    return to


@pytest.mark.parametrize(
    "other",
    [
        {"effect": "send"},
        {"contract": Irreversible()},
        {"contract": Checkable(_probe)},
        {"undo": None},
        {"output": "trusted"},
        {"sensitive": {"to": "recipient"}},
        {"private": True},
    ],
)
def test_another_fact_is_another_tool(other: dict[str, Any]) -> None:
    assert declared(**other).pinned_hash != declared().pinned_hash


def test_another_watched_field_is_another_tool() -> None:
    watched = [declared(_structured, watch=paths) for paths in ((), ("total",), ("free",), ("total", "free"))]
    specs = [*watched, declared(_structured, private=True)]
    assert len({spec.pinned_hash for spec in specs}) == len(specs)


def test_a_tool_that_declares_nothing_new_keeps_the_hash_that_agents_were_published_with() -> None:
    assert declared().pinned_hash == HASH
    assert declared(watch=(), private=False).pinned_hash == HASH
    assert BUILTIN["wait"].pinned_hash == "c521f9ac1f4e335bf7556fce7f8186e43e12ac561867f10fc219a6f8e1272f93"


def test_private_and_watched_data_leave_the_tier_as_it_is() -> None:
    assert tier(Facts(effect="read", output="trusted", private=True)) == "T0"
    assert declared(_structured, private=True, watch=("total",)).tier == declared(_structured).tier


def test_another_name_text_or_schema_is_another_tool() -> None:
    hashes = {declared(f).pinned_hash for f in (_good, _other_text, _other_schema)}
    assert len(hashes) == 3


def test_the_same_declaration_has_the_same_hash() -> None:
    assert declared().pinned_hash == declared().pinned_hash


# ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_result_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="another type"):
        spec_of(toolbox.lies_about_its_type).checked("not a number")


def test_a_result_that_the_tools_own_check_refuses_is_kept_and_suspect() -> None:
    def filled(value: Any) -> None:
        if not value:
            raise ValueError("empty")

    spec = spec_of(tool(effect="read", check=filled)(_good))
    assert spec.checked("x") == Checked("x")
    assert spec.checked("") == Checked("", suspect="empty")


@pytest.mark.parametrize("error", [ValueError(), KeyError("stock"), ZeroDivisionError(), AssertionError("no")])
def test_a_check_that_fails_without_saying_why_has_not_been_passed(error: Exception) -> None:
    def broken(value: Any) -> None:
        raise error

    suspect = spec_of(tool(effect="read", check=broken)(_good)).checked("x").suspect
    assert suspect and "the check of _good" in suspect


def test_a_check_sees_the_declared_type_and_the_model_sees_json() -> None:
    def cheap(value: Basket) -> None:
        if any((item.price or 0) > 9 for item in value.items):
            raise ValueError("too dear")

    checked = spec_of(tool(effect="read", check=cheap)(_structured)).checked({"items": [{"price": 10}]})
    assert (checked.suspect, checked.data["items"][0]["price"]) == ("too dear", 10.0)


async def test_a_synchronous_tool_runs_in_a_thread() -> None:
    assert await spec_of(toolbox.looks_in_a_thread).invoke(CTX, {"what": "it"}) == "found it in a thread"


def test_the_key_of_a_call_is_run_and_call() -> None:
    assert CTX.idempotency_key == "agent/a/1/2.0"


def test_a_setting_that_is_missing_says_which_variable_to_set() -> None:
    assert CTX.setting("smtp") == "mail"
    with pytest.raises(ToolError, match="STANCHION_TOOL_CRM"):
        CTX.setting("crm")
    assert "mail" not in repr(CTX)


# ── foreign tools ───────────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = {
    "type": "object",
    "properties": {"n": {"$ref": "#/$defs/n"}, "x": {"type": "number"}},
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {"n": {"type": "integer", "minimum": 1}},
}


async def _foreign(ctx: ToolContext, **arguments: Any) -> Any:
    return arguments


def foreign(schema: dict[str, Any] = SCHEMA, **facts: Any) -> ToolSpec:
    """A tool that is no Python function."""
    return foreign_tool("far", "Far away.", schema, _foreign, **facts)


async def test_a_foreign_tool_takes_what_its_schema_takes() -> None:
    spec = foreign()
    assert spec.schema == SCHEMA
    assert await spec.invoke(CTX, spec.arguments.validate('{"n": 3, "x": 0.5}')) == {"n": 3, "x": 0.5}


@pytest.mark.parametrize(
    "arguments",
    [
        '{"n": "3"}',
        '{"n": 0}',
        '{"n": 1.5}',
        "{}",
        '{"n": 1, "m": 2}',
        "[]",
        "3",
        "null",
        "",
        "{",
        '{"n": 1, "x": NaN}',
        '{"n": 1, "x": Infinity}',
        "[" * 100000,
    ],
)
def test_a_foreign_tool_refuses_the_rest(arguments: str) -> None:
    assert refused(foreign(), arguments)


def test_a_schema_without_a_type_still_takes_only_objects() -> None:
    assert "not a JSON object" in refused(foreign({}), "3")


def test_a_schema_that_is_none_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ToolDeclarationError, match="not a valid JSON Schema"):
        foreign({"type": "objekt"})


@pytest.mark.parametrize("reference", ["#/$defs/nowhere", "http://127.0.0.1:9/schema.json", "file:///etc/hostname"])
def test_a_reference_out_of_the_schema_is_never_followed(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Any] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda url, *_, **__: fetched.append(url))
    assert reference.lstrip("#") in refused(foreign({"properties": {"n": {"$ref": reference}}}), '{"n": 1}')
    assert fetched == []


def test_a_foreign_tool_without_facts_counts_as_the_strictest() -> None:
    spec = foreign()
    assert (spec.tier, spec.facts.contract, spec.contract) == ("T4", "irreversible", Irreversible())


def test_the_facts_of_a_foreign_tool_agree_with_its_contract() -> None:
    spec = foreign(facts=Facts(effect="read", contract="pure"), contract=Idempotent())
    assert spec.facts.contract == "idempotent"
    with pytest.raises(ToolDeclarationError, match="Pure"):
        foreign(facts=Facts(effect="write"), contract=Pure())


def test_another_schema_is_another_foreign_tool() -> None:
    assert foreign().pinned_hash == foreign(dict(SCHEMA)).pinned_hash
    assert foreign().pinned_hash != foreign({**SCHEMA, "required": []}).pinned_hash


# ── registry ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tools_are_found_by_module_and_name() -> None:
    assert find_tool("tests.harness.toolbox", "look") is spec_of(toolbox.look)
    assert find_tool(BUILTIN_MODULE, "wait") is BUILTIN["wait"]
    assert set(BUILTIN) == {"wait", "read_output"}
    assert "send" in tools_in(toolbox) and "WITNESS" not in tools_in(toolbox)


def test_a_missing_tool_names_those_that_are_there() -> None:
    with pytest.raises(ToolDeclarationError, match=r"has no tool 'lok'; it has: .*look"):
        find_tool("tests.harness.toolbox", "lok")


def test_a_module_that_cannot_be_imported_says_why() -> None:
    with pytest.raises(ToolModuleMissing, match="no_such_module"):
        find_tool("no_such_module.tools", "look")
