"""ToolSpec: a tool as the rest of the system sees it: schema, validated arguments, invocation, checked result."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

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

    @property
    def tier(self) -> Tier:
        """How dangerous a call is, from the declared facts."""
        return tier(self.facts)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return self.arguments.schema()

    @cached_property
    def pinned_hash(self) -> str:
        """SHA-256 over name, description, schema and facts: another hash is another tool, however it calls itself."""
        facts = [self.facts.effect, self.facts.contract, self.facts.output, self.facts.undo, self.facts.sensitive]
        return sha256_hex([self.name, self.description, self.schema, facts])

    async def invoke(self, ctx: ToolContext, arguments: dict[str, Any]) -> Any:
        """Run the tool. Raises whatever the tool raises; a synchronous function runs in a thread."""
        if inspect.iscoroutinefunction(self.function):
            return await self.function(ctx, **arguments)
        return await asyncio.to_thread(self.function, ctx, **arguments)

    def checked(self, result: Any) -> Any:
        """`result` as JSON data of the declared type. Raises ValueError when it is of another type or implausible."""
        if isinstance(result, bytes):
            result = result.decode("utf-8", "replace")
        try:
            value = self.result.validate_python(result)
        except ValidationError as error:
            raise ValueError(f"the tool returned a value of another type than it declares: {explain(error)}") from None
        if self.check:
            self.check(value)
        return self.result.dump_python(value, mode="json")
