"""Runs a tool once, or probes its target; returns a result, or a doubt about what happened."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from activities.errors import clip
from activities.gateway.execution.results import Result, from_error, from_value
from activities.tools.context import ToolContext
from activities.tools.contracts import Checkable, Idempotent, Irreversible, Pure
from activities.tools.errors import ToolError
from activities.tools.spec import ToolSpec

TRIES = 3  # attempts at an effect whose outcome stays in doubt; after that a person is asked
PROBE_SECONDS = 15  # time-out of a probe


@dataclass(frozen=True)
class Doubt:
    """The tool neither returned a result nor raised a ToolError, so it is not known whether it had its effect.

    `settles`: how its effect contract resolves the doubt. "retry": try again with the same idempotency key; "probe":
    ask the target; "ask": ask a person.
    """

    reason: str
    settles: str


async def perform(spec: ToolSpec, ctx: ToolContext, arguments: dict[str, Any]) -> Result | Doubt:
    """Run the tool.

    If the tool returns a value of the wrong type, its effect still happened: the result is a suspect error without the
    value. If the tool's own check rejects the value, the result is suspect but shows the value.
    """
    try:
        async with asyncio.timeout(spec.timeout):
            value = await spec.invoke(ctx, arguments)
    except ToolError as error:
        return from_error(str(error), spec.facts.output, happened=False)
    except TimeoutError:
        return _failure(spec, f"{spec.name} did not answer within {spec.timeout} s")
    except Exception as error:
        return _failure(spec, clip(f"{spec.name} failed: {type(error).__name__}: {error}"))
    return _result_of(spec, ctx, value)


async def probe(spec: ToolSpec, ctx: ToolContext, arguments: dict[str, Any]) -> Result | Doubt | None:
    """Ask the target whether the effect happened; returns its result, None if it did not happen, or a doubt."""
    assert isinstance(spec.contract, Checkable)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            value = await spec.contract.probe(ctx, **arguments)
    except Exception as error:
        return Doubt(clip(f"the probe of {spec.name} failed: {type(error).__name__}: {error}"), "probe")
    return None if value is None else _result_of(spec, ctx, value, settled_by="probe")


def _result_of(spec: ToolSpec, ctx: ToolContext, value: Any, settled_by: str = "result") -> Result:
    try:
        checked = spec.checked(value)
        result = from_value(checked.data, spec.facts.output, ctx.call_id, settled_by)
    except Exception as error:  # wrong type or not JSON
        message = f"{spec.name} ran, but its result cannot be used: {clip(str(error))}"
        # The message may quote the value, so its origin is that of the tool's output.
        refused = from_error(message, spec.facts.output, settled_by)
        return refused.suspected(f"{spec.name} did not return what it declares")
    result = replace(result, data=checked.data)
    return result.suspected(checked.suspect) if checked.suspect is not None else result


def _failure(spec: ToolSpec, reason: str) -> Result | Doubt:
    match spec.contract:
        case Pure():
            return from_error(reason, spec.facts.output)
        case Idempotent():
            return Doubt(reason, "retry")
        case Checkable():
            return Doubt(reason, "probe")
        case Irreversible():
            return Doubt(reason, "ask")
