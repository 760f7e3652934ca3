"""`@tool`: turns a typed Python function into a tool; `foreign_tool` does it for a JSON Schema and a callable."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_type_hints

from pydantic import PydanticUserError, TypeAdapter

from activities.tools.arguments import SchemaArguments, TypedArguments
from activities.tools.context import ToolContext
from activities.tools.contracts import Contract, Irreversible, Pure
from activities.tools.errors import ToolDeclarationError
from activities.tools.facts import Effect, Facts, Output, Sensitive
from activities.tools.spec import ToolSpec
from activities.tools.undo import Undo

Function = TypeVar("Function", bound=Callable[..., Any])
SPEC = "__stanchion_tool__"
TIMEOUT = 60  # seconds; a tool that needs longer says so
NUMBERS = frozenset(("integer", "number"))  # types of JSON Schema
SCALARS = NUMBERS | {"string", "boolean", "null"}
DEEPEST = 50  # schemas within schemas; a recursive type is looked into no further


def tool(
    *,
    effect: Effect = "admin",
    contract: Contract | None = None,
    sensitive: Mapping[str, Sensitive] | None = None,
    output: Output = "untrusted",
    undo: str | Undo | None = None,
    check: Callable[[Any], None] | None = None,
    watch: Sequence[str] = (),
    varies: Sequence[str] = (),
    private: bool = False,
    timeout: int = TIMEOUT,
) -> Callable[[Function], Function]:
    """Declare a function as a tool. Its first parameter is the ToolContext; its docstring is what the model reads.

    effect: what it does to the world; undeclared is `admin`, the strictest.
    contract: what a second attempt may do; undeclared is Irreversible, except for reads, which are Pure.
    sensitive: argument -> what it names (recipient, url, account, ...).
    output: whether what it returns can be trusted; undeclared is untrusted.
    undo: the tool that takes the effect back; each of its arguments is the one, or the field of the result, of the same
        name, or comes from where an `Undo` says.
    check: raises ValueError for a result that cannot be right; the model sees it, marked suspect with the reason.
    watch: numbers in the result, as dotted paths (`items.price`: the median over a list), that are compared with what
        they were in earlier calls; one that drifts makes the result suspect. A Decimal is text: give minor units.
    varies: what differs from item to item, as dotted paths (`items.stock`); many items, or many answers to different
        questions, that all say the same make the result suspect. It needs no history, unlike `watch`.
    private: what it returns is private: personal data, credentials, contracts.
    timeout: seconds after which the tool is cancelled.
    """

    def declare(function: Function) -> Function:
        promised = contract or (Pure() if effect == "read" else Irreversible())
        _refuse_nonsense(function, sensitive or {}, timeout)
        back = Undo(undo) if isinstance(undo, str) else undo
        try:
            facts = Facts(effect, promised.name, output, back.tool if back else None, dict(sensitive or {}), private)
        except ToolDeclarationError as error:
            raise ToolDeclarationError(f"{function.__name__}: {error}") from None
        result: TypeAdapter[Any] = TypeAdapter(get_type_hints(function, include_extras=True).get("return", Any))
        _refuse_blind_checks(function.__name__, check)
        _refuse_blind_paths(function.__name__, result, "watch", watch, NUMBERS, "no number")
        _refuse_blind_paths(function.__name__, result, "varies", varies, SCALARS, "nothing")
        spec = ToolSpec(
            name=function.__name__,
            description=inspect.cleandoc(function.__doc__ or ""),
            function=function,
            arguments=TypedArguments(function),
            result=result,
            contract=promised,
            facts=facts,
            timeout=timeout,
            check=check,
            watch=tuple(watch),
            varies=tuple(varies),
            undo_from=dict(back.arguments) if back else {},
        )
        setattr(function, SPEC, spec)
        return function

    return declare


def foreign_tool(
    name: str,
    description: str,
    input_schema: dict[str, Any],
    function: Callable[..., Any],
    *,
    facts: Facts | None = None,
    contract: Contract | None = None,
    timeout: int = TIMEOUT,
) -> ToolSpec:
    """A tool described by JSON Schema. Without facts it counts as the strictest. Raises ToolDeclarationError."""
    promised = contract or Irreversible()
    return ToolSpec(
        name=name,
        description=description,
        function=function,
        arguments=SchemaArguments(input_schema),
        result=TypeAdapter(Any),
        contract=promised,
        facts=replace(facts or Facts(), contract=promised.name),
        timeout=timeout,
    )


def _refuse_nonsense(function: Callable[..., Any], sensitive: Mapping[str, Sensitive], timeout: int) -> None:
    name, parameters = function.__name__, list(inspect.signature(function).parameters.values())
    if not (function.__doc__ or "").strip():
        raise ToolDeclarationError(f"{name}: write a docstring; it is what the model reads")
    if not parameters or parameters[0].annotation not in (parameters[0].empty, ToolContext, ToolContext.__name__):
        raise ToolDeclarationError(f"{name}: the first parameter is the ToolContext")
    if unknown := set(sensitive) - {parameter.name for parameter in parameters[1:]}:
        raise ToolDeclarationError(f"{name}: sensitive names {sorted(unknown)} which are no arguments of it")
    if not 0 < timeout <= 86_400:
        raise ToolDeclarationError(f"{name}: timeout is in seconds, between 1 and 86400, not {timeout}")


def _refuse_blind_checks(name: str, check: Callable[[Any], None] | None) -> None:
    """A check that is never awaited would never find anything wrong, and nobody would notice."""
    if inspect.iscoroutinefunction(check):
        raise ToolDeclarationError(f"{name}: check is called, not awaited; make it a plain function")


def _refuse_blind_paths(
    name: str, result: TypeAdapter[Any], what: str, paths: Sequence[str], kinds: frozenset[str], none: str
) -> None:
    """A misspelt field would never be found suspect, and nobody would notice."""
    if isinstance(paths, str):
        raise ToolDeclarationError(f"{name}: {what} is a sequence of paths: ({paths!r},), not {paths!r}")
    if len(set(paths)) < len(paths):
        raise ToolDeclarationError(f"{name}: {what} names a field twice")
    schema = _schema_of(result) if paths else {}
    for path in paths:
        if not all(part.isidentifier() for part in path.split(".")):
            raise ToolDeclarationError(
                f"{name}: {what} names fields of the result, such as 'items.price', not {path!r}"
            )
        if not _may_be(kinds, schema, path.split("."), schema.get("$defs", {})):
            raise ToolDeclarationError(f"{name}: {what} names {path!r}, but the result has {none} there")


def _schema_of(result: TypeAdapter[Any]) -> dict[str, Any]:
    try:
        return result.json_schema(by_alias=False, mode="serialization")
    except PydanticUserError:  # a type that has no JSON Schema may still hold numbers
        return {}


def _may_be(
    kinds: frozenset[str], schema: Any, path: Sequence[str], definitions: Mapping[str, Any], depth: int = 0
) -> bool:
    """Whether data of this schema can have one of these kinds at the path. What the schema leaves open can."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return schema is not False

    def inside(part: Any, rest: Sequence[str] = path) -> bool:
        return _may_be(kinds, part, rest, definitions, depth + 1)

    if "$ref" in schema:
        return inside(definitions.get(schema["$ref"].rpartition("/")[2]))
    if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return any(inside(choice) for choice in choices)
    match schema.get("type"):
        case None:
            return True
        case "array":
            return any(inside(part) for part in [*schema.get("prefixItems", ()), schema.get("items", True)])
        case "object" if path:
            unnamed = schema.get("additionalProperties", "properties" not in schema)
            return inside(schema.get("properties", {}).get(path[0], unnamed), path[1:])
        case kind:
            return not path and kind in kinds
