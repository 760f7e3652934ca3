"""ToolSpec: a tool as the rest of the system sees it: schema, validated arguments, invocation, checked result."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from activities.storage.canonical import sha256_hex
from activities.tools.context import ToolContext
from activities.tools.contracts import Contract
from activities.tools.facts import Facts, tier
from workflows.contracts.base import explain
from workflows.contracts.calls import Tier


class Arguments(Protocol):
    """How the arguments of a tool are described and checked."""

    def schema(self) -> dict[str, Any]:
        """JSON Schema, as offered to the model."""
        ...

    def validate(self, arguments: str) -> dict[str, Any]:
        """Keyword arguments from JSON text. Raises InvalidArguments with one line per problem."""
        ...


@dataclass(frozen=True)
class CheckedResult:
    """What a tool returned, as JSON data of the declared type. `suspect`: why it cannot be right, says its check."""

    data: Any
    suspect: str | None = None


@dataclass(frozen=True)
class ToolSpec:
    """One tool."""

    name: str
    description: str
    function: Callable[..., Any]
    arguments: Arguments
    result: TypeAdapter[Any]
    contract: Contract
    facts: Facts
    timeout: int  # seconds
    check: Callable[[Any], None] | None = None
    watch: tuple[str, ...] = ()  # dotted paths of numbers in the result, whose drift makes it suspect
    varies: tuple[str, ...] = ()  # dotted paths at which one value for all items makes the result suspect
    undo_from: dict[str, str] = field(default_factory=dict)  # argument of its undo -> source, where declared

    @property
    def tier(self) -> Tier:
        """How dangerous a call is, from the declared facts."""
        return tier(self.facts)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return self.arguments.schema()

    @cached_property
    def result_schema(self) -> dict[str, Any]:
        """JSON Schema of the result; {} for a type that has none."""
        try:
            return self.result.json_schema(by_alias=False, mode="serialization")
        except PydanticUserError:
            return {}

    @cached_property
    def pinned_hash(self) -> str:
        """SHA-256 over name, description, schema and facts: another hash is another tool, however it calls itself."""
        facts = [self.facts.effect, self.facts.contract, self.facts.output, self.facts.undo, self.facts.sensitive]
        # Declared later than the rest: a tool that has none of these keeps the hash that agents were published with.
        more = {"private": self.facts.private, "watch": self.watch, "varies": self.varies, "undo_from": self.undo_from}
        declared = {key: value for key, value in more.items() if value}
        return sha256_hex([self.name, self.description, self.schema, facts, *([declared] if declared else [])])

    async def invoke(self, ctx: ToolContext, arguments: dict[str, Any]) -> Any:
        """Run the tool. Raises whatever the tool raises; a synchronous function runs in a thread."""
        if inspect.iscoroutinefunction(self.function):
            return await self.function(ctx, **arguments)
        return await asyncio.to_thread(self.function, ctx, **arguments)

    def checked(self, result: Any) -> CheckedResult:
        """`result` as JSON data of the declared type, and what the check says. Raises ValueError for another type."""
        if isinstance(result, bytes):
            result = result.decode("utf-8", "replace")
        try:
            value = self.result.validate_python(result)
        except ValidationError as error:
            raise ValueError(f"the tool returned a value of another type than it declares: {explain(error)}") from None
        suspect = self._implausible(value)
        return CheckedResult(self.result.dump_python(value, mode="json"), suspect)

    def _implausible(self, value: Any) -> str | None:
        try:
            if self.check:
                self.check(value)
        except ValueError as error:
            return str(error) or f"the check of {self.name} failed"
        except Exception as error:  # a check that cannot be made has not been passed
            return f"the check of {self.name} could not be made ({type(error).__name__})"
        return None
