"""`ToolSpec`: a tool's schema, argument validation, invocation and result check."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from activities.storage.canonical import sha256_hex
from activities.tools.context import ToolContext
from activities.tools.contracts import Contract
from activities.tools.facts import Facts, tier
from workflows.contracts.base import explain
from workflows.contracts.calls import Tier

# Synchronous tools have threads of their own: one that hangs keeps its thread, and nothing else of the worker waits.
TOOL_THREADS = 64
_threads = ThreadPoolExecutor(TOOL_THREADS, thread_name_prefix="tool")
_busy: set[object] = set()

log = logging.getLogger("stanchion.tools")  # not structlog: commands that read definitions would import it


async def _in_thread(call: Callable[[], Any]) -> Any:
    if len(_busy) >= TOOL_THREADS:
        log.warning("all %d threads for synchronous tools are busy; this call waits", TOOL_THREADS)
    running = _threads.submit(copy_context().run, call)
    _busy.add(running)
    running.add_done_callback(_busy.discard)
    return await asyncio.wrap_future(running)


class Arguments(Protocol):
    """The schema and the validation of a tool's arguments."""

    def schema(self) -> dict[str, Any]:
        """The JSON Schema that the model gets."""
        ...

    def validate(self, arguments: str) -> dict[str, Any]:
        """Keyword arguments from JSON text. Raises InvalidArguments with one line per problem."""
        ...


@dataclass(frozen=True)
class CheckedResult:
    """A tool's result as JSON data. `suspect`: why the tool's check says that it cannot be right."""

    data: Any
    suspect: str | None = None


@dataclass(frozen=True)
class ToolSpec:
    """A tool with its declaration."""

    name: str
    description: str
    function: Callable[..., Any]
    arguments: Arguments
    result: TypeAdapter[Any]
    contract: Contract
    facts: Facts
    timeout: int  # seconds
    check: Callable[[Any], None] | None = None
    watch: tuple[str, ...] = ()  # dotted paths of numbers in the result; a drift makes it suspect
    varies: tuple[str, ...] = ()  # dotted paths of values in the result; the same value for all items makes it suspect
    undo_from: dict[str, str] = field(default_factory=dict)  # argument of its undo -> declared source

    @property
    def tier(self) -> Tier:
        """The tier of the tool's calls, from its facts."""
        return tier(self.facts)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.arguments.schema()

    @cached_property
    def result_schema(self) -> dict[str, Any]:
        """The JSON Schema of the result; {} for a type without one."""
        try:
            return self.result.json_schema(by_alias=False, mode="serialization")
        except PydanticUserError:
            return {}

    @cached_property
    def pinned_hash(self) -> str:
        """The SHA-256 of name, description, schema and facts. A tool with another hash is another tool."""
        facts = [self.facts.effect, self.facts.contract, self.facts.output, self.facts.undo, self.facts.sensitive]
        # These facts are newer. Without any of them the hash stays as it was, so that published agents remain valid.
        newer_facts = {
            "private": self.facts.private,
            "watch": self.watch,
            "varies": self.varies,
            "undo_from": self.undo_from,
        }
        declared = {key: value for key, value in newer_facts.items() if value}
        return sha256_hex([self.name, self.description, self.schema, facts, *([declared] if declared else [])])

    async def invoke(self, ctx: ToolContext, arguments: dict[str, Any]) -> Any:
        """Run the tool; a synchronous function runs in a thread. The tool's exceptions pass through."""
        if inspect.iscoroutinefunction(self.function):
            return await self.function(ctx, **arguments)
        return await _in_thread(partial(self.function, ctx, **arguments))

    def checked(self, result: Any) -> CheckedResult:
        """`result` as JSON data, after the tool's check. Raises ValueError if its type is not as declared."""
        if isinstance(result, bytes):
            result = result.decode("utf-8", "replace")
        try:
            value = self.result.validate_python(result)
        except ValidationError as error:
            raise ValueError(f"the tool returned a value of another type than declared: {explain(error)}") from None
        suspect = self._why_suspect(value)
        return CheckedResult(self.result.dump_python(value, mode="json"), suspect)

    def _why_suspect(self, value: Any) -> str | None:
        try:
            if self.check:
                self.check(value)
        except ValueError as error:
            return str(error) or f"the check of {self.name} failed"
        except Exception as error:  # a check that fails to run counts as not passed
            return f"the check of {self.name} could not run ({type(error).__name__})"
        return None
