"""`@tool` declares a typed Python function as a tool; `foreign_tool` declares one with a JSON Schema."""

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
TIMEOUT = 60  # seconds, unless the tool declares another time-out
NUMBERS = frozenset(("integer", "number"))  # JSON Schema types
SCALARS = NUMBERS | {"string", "boolean", "null"}
DEEPEST = 50  # nesting depth at which the search in recursive schemas ends


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
    """Declare a function as a tool. Its first parameter is the ToolContext; the model reads its docstring.

    effect: the kind of effect; by default `admin`, the strictest.
    contract: what a second attempt may do; by default Irreversible, or Pure for reads.
    sensitive: argument -> what it names (recipient, url, account, ...).
    output: whether the result can be trusted; by default untrusted.
    undo: the tool that undoes the effect. Each of its arguments gets the value of the argument or the result field of
        the same name, unless an `Undo` names another source.
    check: raises ValueError for a result that cannot be right; the model sees the result, marked suspect.
    watch: dotted paths of numbers in the result (`items.price`: the median over a list) to compare with earlier calls.
        A number that drifts makes the result suspect. A Decimal is text in JSON, so return minor units instead.
    varies: dotted paths of values that normally differ from item to item (`items.stock`). If they are the same for many
        items, or for many different calls, the result is suspect. Unlike `watch`, it needs no history.
    private: whether the result contains personal data, credentials or contracts.
    timeout: seconds after which the tool is cancelled.
    """

    def declare(function: Function) -> Function:
        effective_contract = contract or (Pure() if effect == "read" else Irreversible())
        _check_declaration(function, sensitive or {}, timeout)
        declared_undo = Undo(undo) if isinstance(undo, str) else undo
        try:
            facts = Facts(
                effect,
                effective_contract.name,
                output,
                declared_undo.tool if declared_undo else None,
                dict(sensitive or {}),
                private,
            )
        except ToolDeclarationError as error:
            raise ToolDeclarationError(f"{function.__name__}: {error}") from None
        result: TypeAdapter[Any] = TypeAdapter(get_type_hints(function, include_extras=True).get("return", Any))
        _check_is_synchronous(function.__name__, check)
        _check_paths(function.__name__, result, "watch", watch, NUMBERS, "no number")
        _check_paths(function.__name__, result, "varies", varies, SCALARS, "nothing")
        spec = ToolSpec(
            name=function.__name__,
            description=inspect.cleandoc(function.__doc__ or ""),
            function=function,
            arguments=TypedArguments(function),
            result=result,
            contract=effective_contract,
            facts=facts,
            timeout=timeout,
            check=check,
            watch=tuple(watch),
            varies=tuple(varies),
            undo_from=dict(declared_undo.arguments) if declared_undo else {},
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
    """A tool described by a JSON Schema. Without facts it gets the strictest ones. Raises ToolDeclarationError."""
    effective_contract = contract or Irreversible()
    return ToolSpec(
        name=name,
        description=description,
        function=function,
        arguments=SchemaArguments(input_schema),
        result=TypeAdapter(Any),
        contract=effective_contract,
        facts=replace(facts or Facts(), contract=effective_contract.name),
        timeout=timeout,
    )


def _check_declaration(function: Callable[..., Any], sensitive: Mapping[str, Sensitive], timeout: int) -> None:
    name, parameters = function.__name__, list(inspect.signature(function).parameters.values())
    if not (function.__doc__ or "").strip():
        raise ToolDeclarationError(f"{name}: write a docstring, which the model reads")
    if not parameters or parameters[0].annotation not in (parameters[0].empty, ToolContext, ToolContext.__name__):
        raise ToolDeclarationError(f"{name}: the first parameter is the ToolContext")
    if unknown := set(sensitive) - {parameter.name for parameter in parameters[1:]}:
        raise ToolDeclarationError(f"{name}: sensitive names {sorted(unknown)}, which are not its arguments")
    if not 0 < timeout <= 86_400:
        raise ToolDeclarationError(f"{name}: timeout is in seconds, between 1 and 86400, not {timeout}")


def _check_is_synchronous(name: str, check: Callable[[Any], None] | None) -> None:
    """Refuse a coroutine function as `check`: it is never awaited, so it would never find anything."""
    if inspect.iscoroutinefunction(check):
        raise ToolDeclarationError(f"{name}: check is not awaited; make it a plain function")


def _check_paths(
    name: str, result: TypeAdapter[Any], option: str, paths: Sequence[str], kinds: frozenset[str], nothing: str
) -> None:
    """Refuse paths that the result cannot have: a misspelt path would never find anything."""
    if isinstance(paths, str):
        raise ToolDeclarationError(f"{name}: {option} is a sequence of paths: ({paths!r},), not {paths!r}")
    if len(set(paths)) < len(paths):
        raise ToolDeclarationError(f"{name}: {option} names a field twice")
    schema = _schema_of(result) if paths else {}
    for path in paths:
        if not all(part.isidentifier() for part in path.split(".")):
            raise ToolDeclarationError(
                f"{name}: {option} names fields of the result, such as 'items.price', not {path!r}"
            )
        if not _can_have_type(kinds, schema, path.split("."), schema.get("$defs", {})):
            raise ToolDeclarationError(f"{name}: {option} names {path!r}, but the result has {nothing} there")


def _schema_of(result: TypeAdapter[Any]) -> dict[str, Any]:
    try:
        return result.json_schema(by_alias=False, mode="serialization")
    except PydanticUserError:  # the result may still contain numbers
        return {}


def _can_have_type(
    kinds: frozenset[str], schema: Any, path: Sequence[str], definitions: Mapping[str, Any], depth: int = 0
) -> bool:
    """Whether data of this schema can have one of these types at the path. Parts without a schema can."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return schema is not False

    def inside(part: Any, rest: Sequence[str] = path) -> bool:
        return _can_have_type(kinds, part, rest, definitions, depth + 1)

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
