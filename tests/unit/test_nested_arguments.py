"""What lies within an argument is read as strictly as the argument itself: an approver sees what runs."""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from activities.tools import ToolContext, tool
from tests.harness.declared import refused, spec_of


class Item(BaseModel):
    """A model with a configuration of its own: that is, with none."""

    count: int
    weight: float = 1.0


class Open(BaseModel):
    """A model that would keep whatever is sent."""

    model_config = ConfigDict(extra="allow", strict=False)
    count: int


@dataclass
class Line:
    """A dataclass."""

    count: int


class Pair(NamedTuple):
    """A named tuple."""

    count: int


class Entry(TypedDict):
    """A typed dictionary."""

    count: int


@tool(effect="read")
async def take(
    ctx: ToolContext,
    item: Item | None = None,
    items: list[Item] | None = None,
    by_name: dict[str, Item] | None = None,
    open_: Open | None = None,
    line: Line | None = None,
    pair: Pair | None = None,
    entry: Entry | None = None,
) -> str:
    """Take things."""
    return "taken"


TAKE = spec_of(take)


def within(name: str, inner: dict[str, Any]) -> dict[str, Any]:
    """An argument that has `inner` within it."""
    return {name: {"items": [inner], "by_name": {"a": inner}}.get(name, inner)}


STRUCTURES = ("item", "items", "by_name", "open_", "line", "entry")


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize(
    "inner", ['{"count": "5"}', '{"count": true}', '{"count": 5.0}', '{"count": 5, "more": 1}', "{}"]
)
def test_within_an_argument_nothing_is_converted_and_nothing_passes_unseen(name: str, inner: str) -> None:
    assert TAKE.arguments.validate(json.dumps(within(name, {"count": 5})))
    assert refused(TAKE, json.dumps(within(name, json.loads(inner))))


def test_a_named_tuple_is_read_strictly_too() -> None:
    assert refused(TAKE, '{"pair": ["5"]}') and refused(TAKE, '{"pair": [5, 6]}')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused_at_any_depth(number: str) -> None:
    assert refused(TAKE, f'{{"item": {{"count": 1, "weight": {number}}}}}')


def test_the_schema_says_so_to_the_model() -> None:
    definitions = TAKE.schema["$defs"]
    assert {name: each["additionalProperties"] for name, each in definitions.items() if "properties" in each} == {
        name: False for name in ("Item", "Open", "Line", "Entry")
    }
