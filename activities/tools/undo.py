"""How an effect is taken back: by which tool, and where each of that tool's arguments comes from. Pure.

Nothing a model says is a source: only what the gateway recorded of the call, its arguments and its result.

| source | is |
| --- | --- |
| `arguments.NAME` | what the call was given; what it was not given is the argument's default |
| `result.NAME` | a field of its result; `result.a.b` is one within |
| `result` | the whole result |
| `either.NAME` | both, by the same name; they have to agree |
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from activities.tools.errors import ToolDeclarationError

_SOURCE = re.compile(r"arguments\.\w+|result(\.\w+)*")
DEEPEST = 20  # references within references; a recursive type is looked into no further


@dataclass(frozen=True)
class Undo:
    """`Undo("revoke", {"grant": "result.id"})`: the tool that takes an effect back, and sources of its arguments.

    An argument that is not named comes from the call's argument or the result's field of the same name.
    """

    tool: str
    arguments: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if strange := [source for source in self.arguments.values() if not _SOURCE.fullmatch(source)]:
            raise ToolDeclarationError(
                f"undo: a source is 'arguments.NAME', 'result.NAME' or 'result', not {strange[0]!r}"
            )


class Undoable(Protocol):
    """A tool, as far as this looks at it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of its arguments."""
        ...

    @property
    def result_schema(self) -> dict[str, Any]:
        """JSON Schema of its result; {} where anything goes."""
        ...


def sources_of(tool: Undoable, undo: Undoable, declared: Mapping[str, str]) -> dict[str, str]:
    """Parameter of the undo -> its source, for every parameter that has one. Raises ToolDeclarationError."""
    wanted = undo.schema.get("properties", {})
    if strange := sorted(set(declared) - set(wanted)):
        raise ToolDeclarationError(f"undo of {tool.name}: {undo.name} has no argument {strange[0]!r}")
    found = {name: declared.get(name) or _by_name(tool, name) for name in wanted}
    if lacking := [name for name in undo.schema.get("required", ()) if found[name] is None]:
        raise ToolDeclarationError(
            f"undo of {tool.name}: {undo.name} needs {', '.join(map(repr, lacking))}, and neither the arguments nor the"
            f" result of {tool.name} have it; return it, or say where it is: Undo({undo.name!r}, {{…}})"
        )
    for name, source in declared.items():
        if not _is_there(tool, source):
            raise ToolDeclarationError(f"undo of {tool.name}: {name!r} comes from {source!r}, which it does not have")
    return {name: _exactly(tool, source) for name, source in found.items() if source is not None}


def _by_name(tool: Undoable, name: str) -> str | None:
    given, returned = name in tool.schema.get("properties", {}), _has(tool.result_schema, [name], certainly=True)
    if given and returned:
        return f"either.{name}"
    return f"arguments.{name}" if given else f"result.{name}" if returned else None


def _is_there(tool: Undoable, source: str) -> bool:
    where, *path = source.split(".")
    if where == "arguments":
        return path[0] in tool.schema.get("properties", {})
    return _has(tool.result_schema, path)


def _exactly(tool: Undoable, source: str) -> str:
    """`text` instead of `result` where it is stored as it is, not as JSON."""
    return "text" if source == "result" and tool.result_schema.get("type") == "string" else source


def _has(schema: Any, path: list[str], *, certainly: bool = False) -> bool:
    """Whether data of this schema has a field at the path. What the schema leaves open may have it."""
    if not path:
        return True
    found = list(_inside(schema, schema.get("$defs", {}), path[0], certainly=certainly))
    return any(_has({"$defs": schema.get("$defs", {}), **part}, path[1:], certainly=certainly) for part in found)


def _inside(
    schema: Any, definitions: Mapping[str, Any], name: str, *, certainly: bool, depth: int = 0
) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict) or depth > DEEPEST:
        return
    if "$ref" in schema:
        target = definitions.get(schema["$ref"].rpartition("/")[2])
        yield from _inside(target, definitions, name, certainly=certainly, depth=depth + 1)
    for choice in [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]:
        yield from _inside(choice, definitions, name, certainly=certainly, depth=depth + 1)
    if name in schema.get("properties", {}):
        yield schema["properties"][name]
    elif not certainly and _leaves_open(schema):
        yield {}


def _leaves_open(schema: Mapping[str, Any]) -> bool:
    if not set(schema) - {"$defs", "title", "description"}:
        return True
    return schema.get("type") == "object" and bool(schema.get("additionalProperties", "properties" not in schema))


# ── when it is taken back ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class RecordedForUndo:
    """What was recorded of a call: arguments, their schema, and the result's text, None where no reply came."""

    arguments: Mapping[str, Any]
    schema: Mapping[str, Any]
    text: str | None


@dataclass(frozen=True)
class UndoArguments:
    """The arguments of an undo, and which of them say what the result said."""

    arguments: dict[str, Any]
    from_result: tuple[str, ...] = ()


class SourceMissing(Exception):
    """A source does not have what it should; the text says what."""


_NOTHING = object()


def arguments_of(sources: Mapping[str, str], required: frozenset[str], recorded: RecordedForUndo) -> UndoArguments:
    """The undo's arguments. Raises Missing if one that is required cannot be known for sure."""
    taken: dict[str, Any] = {}
    for name, source in sources.items():
        value = _value(source, recorded)
        if value is not _NOTHING:
            taken[name] = value
        elif name in required:
            raise SourceMissing(f"{name!r} of its undo should come from {source}, and that is not there")
    return UndoArguments(taken, tuple(name for name in taken if _says_the_result(sources[name], recorded)))


def _says_the_result(source: str, recorded: RecordedForUndo) -> bool:
    """Whether a value is the result's word: of `either`, if the call was given none and has no default."""
    where, _, name = source.partition(".")
    return where != "arguments" and not (where == "either" and _given(name, recorded) is not _NOTHING)


def _value(source: str, recorded: RecordedForUndo) -> Any:
    where, *path = source.split(".")
    if where == "arguments":
        return _given(path[0], recorded)
    if recorded.text is None:
        raise SourceMissing("its reply was lost, so what its undo needs of it is not known")
    if where == "text":
        return recorded.text
    try:
        result = json.loads(recorded.text)
    except ValueError:
        raise SourceMissing("its result is no JSON, so what its undo needs of it is not known") from None
    found = _at(result, path)
    if where != "either":
        return found
    given = _given(path[0], recorded)
    if _NOTHING not in (found, given) and json.dumps(found, sort_keys=True) != json.dumps(given, sort_keys=True):
        raise SourceMissing(
            f"its arguments and its result differ in {path[0]!r}, and its undo does not say which to use"
        )
    return given if found is _NOTHING else found


def _given(name: str, recorded: RecordedForUndo) -> Any:
    default = recorded.schema.get("properties", {}).get(name, {}).get("default", _NOTHING)
    return recorded.arguments.get(name, default)


def _at(value: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _NOTHING
        value = value[name]
    return value
