"""`Undo`: names the tool that undoes an effect, and derives its arguments from the recorded call. Pure.

The sources are the recorded arguments and the recorded result of the call, never a model's words.

| source | value |
| --- | --- |
| `arguments.NAME` | the call's argument, or the argument's default if the call has none |
| `result.NAME` | a field of the result; `result.a.b` is a nested field |
| `result` | the whole result |
| `either.NAME` | the argument or the result field of that name; if both exist, they must be equal |
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from activities.tools.errors import ToolDeclarationError

_SOURCE = re.compile(r"arguments\.\w+|result(\.\w+)*")
DEEPEST = 20  # nesting depth at which the search in recursive schemas ends


@dataclass(frozen=True)
class Undo:
    """`Undo("revoke", {"grant": "result.id"})`: the tool that undoes an effect, and the sources of its arguments.

    Other arguments get the value of the call's argument or the result's field of the same name.
    """

    tool: str
    arguments: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if invalid := [source for source in self.arguments.values() if not _SOURCE.fullmatch(source)]:
            raise ToolDeclarationError(
                f"undo: a source is 'arguments.NAME', 'result.NAME' or 'result', not {invalid[0]!r}"
            )


class Undoable(Protocol):
    """The properties of a tool that this module needs."""

    @property
    def name(self) -> str:
        """The tool's name."""
        ...

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        ...

    @property
    def result_schema(self) -> dict[str, Any]:
        """The JSON Schema of its result; {} if it is not known."""
        ...


def sources_of(tool: Undoable, undo: Undoable, declared: Mapping[str, str]) -> dict[str, str]:
    """The source of each argument of the undo, as far as it has one. Raises ToolDeclarationError."""
    undo_arguments = undo.schema.get("properties", {})
    if unknown := sorted(set(declared) - set(undo_arguments)):
        raise ToolDeclarationError(f"undo of {tool.name}: {undo.name} has no argument {unknown[0]!r}")
    sources = {name: declared.get(name) or _source_by_name(tool, name) for name in undo_arguments}
    if missing := [name for name in undo.schema.get("required", ()) if sources[name] is None]:
        raise ToolDeclarationError(
            f"undo of {tool.name}: {undo.name} needs {', '.join(map(repr, missing))}, and neither the arguments nor the"
            f" result of {tool.name} have it; return it, or name its source: Undo({undo.name!r}, {{…}})"
        )
    for name, source in declared.items():
        if not _has_source(tool, source):
            raise ToolDeclarationError(
                f"undo of {tool.name}: {name!r} comes from {source!r}, which {tool.name} does not have"
            )
    return {name: _exact_source(tool, source) for name, source in sources.items() if source is not None}


def _source_by_name(tool: Undoable, name: str) -> str | None:
    is_argument = name in tool.schema.get("properties", {})
    is_returned = _has(tool.result_schema, [name], certainly=True)
    if is_argument and is_returned:
        return f"either.{name}"
    return f"arguments.{name}" if is_argument else f"result.{name}" if is_returned else None


def _has_source(tool: Undoable, source: str) -> bool:
    where, *path = source.split(".")
    if where == "arguments":
        return path[0] in tool.schema.get("properties", {})
    return _has(tool.result_schema, path)


def _exact_source(tool: Undoable, source: str) -> str:
    """`text` instead of `result` if the result is a string, which is stored as plain text instead of JSON."""
    return "text" if source == "result" and tool.result_schema.get("type") == "string" else source


def _has(schema: Any, path: list[str], *, certainly: bool = False) -> bool:
    """Whether data of this schema can have a field at the path. `certainly`: only if the schema names the field."""
    if not path:
        return True
    schemas = list(_schemas_of_field(schema, schema.get("$defs", {}), path[0], certainly=certainly))
    return any(_has({"$defs": schema.get("$defs", {}), **part}, path[1:], certainly=certainly) for part in schemas)


def _schemas_of_field(
    schema: Any, definitions: Mapping[str, Any], name: str, *, certainly: bool, depth: int = 0
) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict) or depth > DEEPEST:
        return
    if "$ref" in schema:
        target = definitions.get(schema["$ref"].rpartition("/")[2])
        yield from _schemas_of_field(target, definitions, name, certainly=certainly, depth=depth + 1)
    for choice in [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]:
        yield from _schemas_of_field(choice, definitions, name, certainly=certainly, depth=depth + 1)
    if name in schema.get("properties", {}):
        yield schema["properties"][name]
    elif not certainly and _allows_other_fields(schema):
        yield {}


def _allows_other_fields(schema: Mapping[str, Any]) -> bool:
    if not set(schema) - {"$defs", "title", "description"}:
        return True
    return schema.get("type") == "object" and bool(schema.get("additionalProperties", "properties" not in schema))


# ── the arguments of an undo ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class RecordedForUndo:
    """The recorded arguments of a call, their schema, and the result's text, or None if the reply was lost."""

    arguments: Mapping[str, Any]
    schema: Mapping[str, Any]
    text: str | None


@dataclass(frozen=True)
class UndoArguments:
    """The arguments of an undo, and the names of those with a value from the result."""

    arguments: dict[str, Any]
    from_result: tuple[str, ...] = ()


class SourceMissing(Exception):
    """The record of the call lacks a value that the undo needs; the text names it."""


_ABSENT = object()


def arguments_of(sources: Mapping[str, str], required: frozenset[str], recorded: RecordedForUndo) -> UndoArguments:
    """The undo's arguments. Raises SourceMissing if the value of a required argument is not certain."""
    arguments: dict[str, Any] = {}
    for name, source in sources.items():
        value = _read_source(source, recorded)
        if value is not _ABSENT:
            arguments[name] = value
        elif name in required:
            raise SourceMissing(f"{name!r} of its undo should come from {source}, which is not recorded")
    return UndoArguments(arguments, tuple(name for name in arguments if _is_from_result(sources[name], recorded)))


def _is_from_result(source: str, recorded: RecordedForUndo) -> bool:
    """Whether the value is from the result; for `either` only if the call had no such argument and no default."""
    where, _, name = source.partition(".")
    return where != "arguments" and not (where == "either" and _argument(name, recorded) is not _ABSENT)


def _read_source(source: str, recorded: RecordedForUndo) -> Any:
    where, *path = source.split(".")
    if where == "arguments":
        return _argument(path[0], recorded)
    if recorded.text is None:
        raise SourceMissing("its reply was lost, so the values that its undo needs are not known")
    if where == "text":
        return recorded.text
    try:
        result = json.loads(recorded.text)
    except ValueError:
        raise SourceMissing("its result is not JSON, so the values that its undo needs are not known") from None
    returned = _value_at(result, path)
    if where != "either":
        return returned
    argument = _argument(path[0], recorded)
    if _ABSENT not in (returned, argument) and json.dumps(returned, sort_keys=True) != json.dumps(
        argument, sort_keys=True
    ):
        raise SourceMissing(
            f"its arguments and its result differ in {path[0]!r}, and its undo does not say which to use"
        )
    return argument if returned is _ABSENT else returned


def _argument(name: str, recorded: RecordedForUndo) -> Any:
    default = recorded.schema.get("properties", {}).get(name, {}).get("default", _ABSENT)
    return recorded.arguments.get(name, default)


def _value_at(value: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _ABSENT
        value = value[name]
    return value
