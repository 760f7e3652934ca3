"""Arguments of tools: the schema comes from the signature, and what does not fit it strictly is refused."""

import asyncio
import json
import threading
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from activities.tools import Idempotent, ToolContext, tool
from tests.harness.declared import CTX, Address, refused, spec_of


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


async def test_synchronous_tools_that_hang_keep_no_thread_of_the_worker() -> None:
    release = threading.Event()

    @tool(effect="read", output="trusted")
    def hangs(ctx: ToolContext) -> str:
        """Hang."""
        release.wait(60)
        return "late"

    context: Any = None
    hung = [asyncio.create_task(spec_of(hangs).invoke(context, {})) for _ in range(40)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(asyncio.to_thread(int, "1"), 30) == 1
    release.set()
    assert await asyncio.gather(*hung) == ["late"] * 40
