"""Foreign tools: declared by a JSON Schema, and as strict as the others."""

from typing import Any

import pytest

from activities.tools import Idempotent, Irreversible, Pure, ToolContext, foreign_tool
from activities.tools.errors import ToolDeclarationError
from activities.tools.facts import Facts
from activities.tools.spec import ToolSpec
from tests.harness.declared import CTX, refused

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
