"""`@tool`: turns a typed Python function into a tool; `foreign_tool` does it for a JSON Schema and a callable."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter

from activities.tools.arguments import SchemaArguments, TypedArguments
from activities.tools.context import ToolContext
from activities.tools.contracts import Contract, Irreversible, Pure
from activities.tools.errors import ToolDeclarationError
from activities.tools.facts import Effect, Facts, Output, Sensitive
from activities.tools.spec import ToolSpec

Function = TypeVar("Function", bound=Callable[..., Any])
SPEC = "__stanchion_tool__"
TIMEOUT = 60  # seconds; a tool that needs longer says so


def tool(
    *,
    effect: Effect = "admin",
    contract: Contract | None = None,
    sensitive: Mapping[str, Sensitive] | None = None,
    output: Output = "untrusted",
    undo: str | None = None,
    check: Callable[[Any], None] | None = None,
    timeout: int = TIMEOUT,
) -> Callable[[Function], Function]:
    """Declare a function as a tool. Its first parameter is the ToolContext; its docstring is what the model reads.

    effect: what it does to the world; undeclared is `admin`, the strictest.
    contract: what a second attempt may do; undeclared is Irreversible, except for reads, which are Pure.
    sensitive: argument -> what it names (recipient, url, account, ...).
    output: whether what it returns can be trusted; undeclared is untrusted.
    undo: name of the tool that takes the effect back.
    check: raises ValueError for a result that cannot be right.
    timeout: seconds after which the tool is cancelled.
    """

    def declare(function: Function) -> Function:
        promised = contract or (Pure() if effect == "read" else Irreversible())
        _refuse_nonsense(function, sensitive or {}, timeout)
        try:
            facts = Facts(effect, promised.name, output, undo, dict(sensitive or {}))
        except ToolDeclarationError as error:
            raise ToolDeclarationError(f"{function.__name__}: {error}") from None
        returns = get_type_hints(function, include_extras=True).get("return", Any)
        spec = ToolSpec(
            name=function.__name__,
            description=inspect.cleandoc(function.__doc__ or ""),
            function=function,
            arguments=TypedArguments(function),
            result=TypeAdapter(returns),
            contract=promised,
            facts=facts,
            timeout=timeout,
            check=check,
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
