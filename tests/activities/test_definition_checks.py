"""A definition whose approvals cannot work is refused when it is published, before a call waits for nobody."""

import re
from typing import Any

import pytest

from activities.agents.definition import AgentDefinition, DefinitionInvalid
from activities.agents.definition_checks import check_definition
from tests.fakes.anthropic_api import problem_of
from tests.harness.door import Door
from tests.harness.people import DELIVER
from workflows.contracts.calls import Tier

MODULE = "tests.activities.launderers"


async def publish(door: Door, tool: str, argument: str) -> None:
    """An agent whose calls of a tool are confirmed by whom an argument names."""
    rule = {"people": 0, "confirm": argument}
    await door.publish(tool, module=MODULE, approvals={"deliver": DELIVER, "tools": {tool: rule}})


async def test_whom_a_call_is_about_is_a_required_string(door: Door) -> None:
    await publish(door, "unlock", "account")


@pytest.mark.parametrize(
    ("tool", "argument", "why"),
    [
        ("unlock", "owner", "has no argument"),
        ("unlock_for_some", "maybe", "may be left out"),
        ("unlock_for_some", "number", "may be left out"),
        ("unlock_numbered", "number", "is not a string"),
        ("unlock_numbered", "either", "is not a string"),
        ("unlock_numbered", "perhaps", "is not a string"),
    ],
)
async def test_anything_else_is_refused(door: Door, tool: str, argument: str, why: str) -> None:
    with pytest.raises(DefinitionInvalid, match=why):
        await publish(door, tool, argument)


class Shown:
    """A tool as a definition is checked against it."""

    tier: Tier = "T1"
    undo = None

    def __init__(self, schema: dict[str, Any]) -> None:
        self.input_schema = schema


PLAIN = {"type": "object", "properties": {"q": {"type": "string"}}}


@pytest.mark.parametrize(
    ("name", "schema", "said"),
    [
        ("prüfe", PLAIN, "'prüfe' is no valid name for a tool"),
        ("look.up", PLAIN, "'look.up' is no valid name"),
        ("a" * 65, PLAIN, "is no valid name for a tool"),
        ("find", {"type": "object", "properties": {"größe": {}}}, "'größe' is no valid name for an argument"),
        ("find", {"type": "object", "properties": {"a b": {}}}, "'a b' is no valid name"),
        ("find", {"type": "object", "properties": {"a" * 65: {}}}, "is no valid name for an argument"),
        ("find", {"type": "object", "properties": {"a": {"items": {"properties": {"ß": {}}}}}}, "'ß' is no valid name"),
        ("find", {"type": "object", "$defs": {"A": {"properties": {"ß": {}}}}}, "'ß' is no valid name"),
        ("find", {"properties": {"q": {}}}, "needs `type: object`"),
        ("find", {"type": "array"}, "needs `type: object`"),
        ("find", {"type": "object", "oneOf": [PLAIN]}, "refuse oneOf"),
        ("find", {"type": "object", "anyOf": [PLAIN]}, "refuse anyOf"),
        ("find", {"type": "object", "allOf": [PLAIN]}, "refuse allOf"),
    ],
)
def test_what_a_model_vendor_would_refuse_is_refused_with_its_name(
    name: str, schema: dict[str, Any], said: str
) -> None:
    definition = AgentDefinition.model_validate({"name": "a", "instructions": "i", "model": "scripted:x.yaml"})
    with pytest.raises(DefinitionInvalid, match=re.escape(said)):
        check_definition(definition, {name: Shown(schema)}, [])
    offered = {"name": name, "input_schema": schema, "description": ""}
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}
    assert problem_of({**body, "tools": [offered]}) or ("." not in said and len(name) == 65)


def test_names_that_vendors_take_are_taken() -> None:
    definition = AgentDefinition.model_validate({"name": "a", "instructions": "i", "model": "scripted:x.yaml"})
    schema = {"type": "object", "properties": {"from-date.utc_1": {"enum": [{"properties": {"ß": 1}}]}}}
    check_definition(definition, {"look-Up_2": Shown(schema)}, [])
