"""The schema that tools make for policies."""

import json
from typing import Any

import pytest
from cedarpy import Schema
from hypothesis import assume, given
from hypothesis import strategies as st

from activities.policy.cedar.policy import load
from activities.policy.cedar.schema import Inexpressible, ToolShape, arguments_kind, cedar_record, schema_for
from activities.policy.engine.verdicts import Allow, Deny
from tests.unit.cedar_rules import PERMIT, SCHEMA, ask, policy


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "format": "date"}, {"type": "String"}),
        ({"type": "integer"}, {"type": "Long"}),
        ({"type": "number"}, {"type": "String"}),
        ({"type": "boolean"}, {"type": "Boolean"}),
        ({"type": "array", "items": {"type": "number"}}, {"type": "Set", "element": {"type": "String"}}),
        ({"enum": ["a", "b"]}, {"type": "String"}),
        ({"const": 1}, {"type": "Long"}),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, {"type": "String"}),
        ({"$ref": "#/$defs/Day"}, {"type": "String"}),
        (
            {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {}}},
            {"type": "Record", "attributes": {"a": {"type": "Boolean", "required": False}}},
        ),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, None),
        ({"type": "array"}, None),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, None),
        ({"type": "object", "additionalProperties": {"type": "string"}}, None),
        ({"$ref": "#/$defs/Tree"}, None),
        ({"$ref": "#/$defs/Nowhere"}, None),
        ({"$ref": "https://elsewhere.example/schema"}, None),
        ({"enum": ["a", 1]}, None),
        (True, None),
        ({}, None),
        ({"type": "null"}, None),
    ],
)
def test_arguments_get_the_type_they_have_in_cedar_or_are_left_out(schema: Any, kind: Any) -> None:
    definitions = {"Day": {"type": "string"}, "Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}
    tool = {"type": "object", "properties": {"x": schema}, "required": ["x"], "$defs": definitions}
    assert arguments_kind(tool)["attributes"].get("x") == (kind and kind | {"required": True})


@pytest.mark.parametrize(
    "nullable", [{"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": ["integer", "null"]}]
)
def test_null_is_absence(nullable: dict[str, Any]) -> None:
    tool = {"type": "object", "properties": {"x": nullable}, "required": ["x"]}
    assert arguments_kind(tool)["attributes"] == {"x": {"type": "Long", "required": False}}
    assert cedar_record({"x": None}) == {}


def test_tools_of_one_name_share_what_they_agree_on() -> None:
    def tool(required: list[str], **properties: str) -> ToolShape:
        kinds = {name: {"type": kind} for name, kind in properties.items()}
        return ToolShape("look", "T0", "read", {"type": "object", "properties": kinds, "required": required})

    one = tool(["both", "sometimes", "either"], both="string", sometimes="string", either="string", first="integer")
    two = tool(["both", "either"], both="string", sometimes="string", either="boolean")
    for tools in ([one, two], [two, one]):
        context = schema_for(tools)[""]["actions"]["look"]["appliesTo"]["context"]["attributes"]
        assert context["arguments"]["attributes"] == {
            "both": {"type": "String", "required": True},
            "sometimes": {"type": "String", "required": False},
            "first": {"type": "Long", "required": False},
        }
        assert set(context["origins"]["attributes"]) == {"both", "sometimes", "either", "first"}


def test_the_schema_is_one_that_cedar_reads() -> None:
    assert 'action "send" appliesTo' in str(Schema.from_json_str(json.dumps(SCHEMA)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_any_arguments_are_decided_about_or_denied(arguments: dict[str, Any]) -> None:
    verdict = policy(PERMIT).decide(ask(arguments=arguments))
    try:
        cedar_record(arguments)
    except Inexpressible:
        assert (type(verdict), verdict.rule) == (Deny, "policy.inexpressible")
    else:
        assert isinstance(verdict, Allow)


SOUND_SCHEMAS = st.recursive(
    st.sampled_from([{"type": t} for t in ("string", "integer", "number", "boolean", "null")] + [{}]),
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(lambda arms: {"anyOf": arms}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(
            lambda parts: {"type": "object", "properties": parts}, st.dictionaries(st.text(), inner, max_size=3)
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), SOUND_SCHEMAS, max_size=4))
def test_any_tool_makes_a_schema_that_cedar_reads(properties: dict[str, Any]) -> None:
    assume(not any(0xD800 <= ord(c) <= 0xDFFF for c in json.dumps(properties, ensure_ascii=False)))
    shape = ToolShape("t", "T0", "read", {"type": "object", "properties": properties, "required": list(properties)})
    load(PERMIT, version="v", scope="*", schema=schema_for([shape]))
