"""Turns tools into a Cedar schema and arguments into Cedar values: what a policy can refer to. Pure.

Cedar has strings, 64-bit integers, booleans, sets and records. A number that may have decimals becomes text ("5.0"),
which can only be compared for equality, because Cedar makes its own decimals only from literals. So an argument that
needs a limit must be an integer, as money is. A null is treated as absent. An argument that has no Cedar type is left
out of the schema, so that no policy can refer to it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any

Kind = dict[str, Any]  # a type in Cedar's JSON schema

STRING: Kind = {"type": "String"}
BOOLEAN: Kind = {"type": "Boolean"}
SIMPLE: Mapping[str, Kind] = {
    "string": STRING,
    "integer": {"type": "Long"},
    "boolean": BOOLEAN,
    "number": STRING,
}
LONGEST = 2**63  # Cedar's integers are signed and have 64 bits
EXPONENT = 400  # largest exponent of a decimal text; floats end at 1e308, and longer texts could fill the memory

# An object with one of these keys has a special meaning in Cedar's JSON, such as an entity.
ESCAPES = frozenset(("__entity", "__extn", "__expr"))


class Inexpressible(ValueError):
    """A value that has no Cedar type."""


@dataclass(frozen=True)
class ToolShape:
    """A tool as policies see it. `input_schema`: the JSON Schema of its arguments."""

    name: str
    tier: str
    effect: str
    input_schema: Mapping[str, Any]


@dataclass(frozen=True)
class _CedarType:
    """The Cedar type for a JSON Schema, None if there is none; and whether null is allowed."""

    kind: Kind | None
    nullable: bool = False


def schema_for(tools: Iterable[ToolShape]) -> dict[str, Any]:
    """The Cedar schema, as JSON: an action for each tool, with an Agent as principal and a Tenant as resource.

    Tools of several agents may share a name. Their action has the arguments of all of them. An argument is required if
    all of the tools require it, and left out if they have different types for it.
    """
    by_name = groupby(sorted(tools, key=attrgetter("name")), key=attrgetter("name"))
    actions = {name: _action(list(shapes)) for name, shapes in by_name}
    return {"": {"entityTypes": {"Agent": {}, "Tenant": {}}, "actions": actions}}


def arguments_kind(schema: Mapping[str, Any]) -> Kind:
    """The Cedar record type of a tool's arguments. `schema`: their JSON Schema."""
    return _record(schema, schema, ())


def cedar_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments as Cedar's JSON, with the types that `schema_for` gives them. Raises Inexpressible."""
    parts = _properties(schema)
    need_no_type = {name for name, value in arguments.items() if isinstance(value, str | bool) or name not in parts}
    kinds = {name: _cedar_type(parts[name], schema, ()).kind for name in arguments.keys() - need_no_type}
    return cedar_record(arguments, {"type": "Record", "attributes": kinds})


def cedar_value(value: Any, kind: Kind | None = None) -> Any:
    """`value` as Cedar's JSON. Raises Inexpressible.

    If its `kind` is text, a whole number becomes decimal text. A null in an array is left out, like a null argument.
    """
    match value:
        case bool() | str():
            return value
        case int() if kind is None or kind["type"] != "String":
            if not -LONGEST <= value < LONGEST:
                raise Inexpressible("a whole number has more than 64 bit")
            return value
        case int() | float() | Decimal():
            return _decimal_text(value)
        case list() | tuple():
            element = (kind or {}).get("element")
            return [cedar_value(item, element) for item in value if item is not None]
        case dict():
            return cedar_record(value, kind)
    raise Inexpressible(f"a {type(value).__name__} has no Cedar type")


def cedar_record(values: Mapping[str, Any], kind: Kind | None = None) -> dict[str, Any]:
    """`values` without nulls, each as Cedar's JSON. Raises Inexpressible."""
    if escape := ESCAPES.intersection(values):
        raise Inexpressible(f"{min(escape)!r} as a key has a special meaning in Cedar")
    kinds = (kind or {}).get("attributes") or {}
    return {key: cedar_value(value, kinds.get(key)) for key, value in values.items() if value is not None}


def _decimal_text(value: int | float | Decimal) -> str:
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite() or abs(exact.adjusted()) > EXPONENT:
        raise Inexpressible("a number is not finite, or far too big or small")
    text = format(exact, "f")
    return text if "." in text else f"{text}.0"


# ── JSON Schema to Cedar ────────────────────────────────────────────────────────────────────────────────────────────


def _action(shapes: list[ToolShape]) -> Kind:
    arguments = _merged([arguments_kind(shape.input_schema) for shape in shapes], shapes)
    names = {name for shape in shapes for name in _properties(shape.input_schema)}
    context = {
        "arguments": arguments,
        "origins": {"type": "Record", "attributes": {name: STRING | {"required": False} for name in sorted(names)}},
        **dict.fromkeys(("tier", "effect", "mode", "requester", "tenant"), STRING),
        **dict.fromkeys(("tainted", "suspect"), BOOLEAN),
    }
    facts = sorted({f"tier {shape.tier}, effect {shape.effect}" for shape in shapes})
    return {
        "annotations": {"doc": "; ".join(facts)},
        "appliesTo": {
            "principalTypes": ["Agent"],
            "resourceTypes": ["Tenant"],
            "context": {"type": "Record", "attributes": context},
        },
    }


def _merged(kinds: list[Kind], shapes: list[ToolShape]) -> Kind:
    """The record type that combines the arguments of tools with the same name."""
    merged = {}
    for name in sorted({name for kind in kinds for name in kind["attributes"]}):
        declaring = [kind for kind, shape in zip(kinds, shapes, strict=True) if name in _properties(shape.input_schema)]
        attributes = [kind["attributes"].get(name) for kind in declaring]
        first = attributes[0]
        if first and all(given and _without_required(given) == _without_required(first) for given in attributes):
            required = len(declaring) == len(kinds) and all(given["required"] for given in attributes)
            merged[name] = _without_required(first) | {"required": required}
    return {"type": "Record", "attributes": merged}


def _without_required(attribute: Kind) -> Kind:
    return {key: value for key, value in attribute.items() if key != "required"}


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return {k: v for k, v in properties.items() if k not in ESCAPES} if isinstance(properties, Mapping) else {}


def _record(schema: Mapping[str, Any], root: Mapping[str, Any], within: tuple[str, ...]) -> Kind:
    attributes = {}
    for name, part in _properties(schema).items():
        reading = _cedar_type(part, root, within)
        if reading.kind is not None:
            required = name in schema.get("required", ()) and not reading.nullable
            attributes[name] = reading.kind | {"required": required}
    return {"type": "Record", "attributes": attributes}


def _cedar_type(schema: Any, root: Mapping[str, Any], within: tuple[str, ...]) -> _CedarType:
    """The Cedar type of a part of the JSON Schema `root`.

    `within`: the references that are being followed; a type that contains itself has no Cedar type.
    """
    match schema:
        case {"$ref": str(reference)}:
            found = None if reference in within else _resolve(reference, root)
            return _cedar_type(found, root, (*within, reference))
        case {"anyOf": [*arms]} | {"oneOf": [*arms]}:
            return _common_type(_cedar_type(arm, root, within) for arm in arms)
        case {"allOf": [only]}:
            return _cedar_type(only, root, within)
        case {"const": value}:
            return _common_type([_cedar_type({"type": _json_type(value)}, root, within)])
        case {"enum": [*values]}:
            return _common_type(_cedar_type({"type": _json_type(value)}, root, within) for value in values)
        case {"type": [*names]}:
            return _common_type(_cedar_type({**schema, "type": name}, root, within) for name in names)
        case {"type": "null"}:
            return _CedarType(None, nullable=True)
        case {"type": "array"}:
            element = _cedar_type(schema.get("items"), root, within).kind if "prefixItems" not in schema else None
            return _CedarType(element and {"type": "Set", "element": element})
        case {"type": "object", "properties": _}:
            return _CedarType(_record(schema, root, within))
        case {"type": str(name)}:
            return _CedarType(SIMPLE.get(name))
    return _CedarType(None)


def _common_type(readings: Iterable[_CedarType]) -> _CedarType:
    """The common type of alternatives, None if they differ; a null alternative only makes it nullable."""
    all_of_them = list(readings)
    nullable = any(reading.nullable for reading in all_of_them)
    kinds = [reading.kind for reading in all_of_them if reading != _CedarType(None, nullable=True)]
    agree = bool(kinds) and all(kind == kinds[0] for kind in kinds)
    return _CedarType(kinds[0] if agree else None, nullable)


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """The part of `root` that a local reference such as `#/$defs/Address` points to, or None."""
    found: Any = root if reference.startswith("#/") else None
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
    return "mixed"


def walk(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in a JSON value, at any depth."""
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, Mapping):
            yield node
            left += node.values()
        elif isinstance(node, list):
            left += node
