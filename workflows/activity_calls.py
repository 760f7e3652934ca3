"""Runs an activity for the loop, and runs it again if its result cannot be read or somebody ended it by hand.

The result is decoded here and not by the SDK: one that cannot be read (an operator's `temporal activity complete`, a
newer worker's answer) would fail the workflow task for ever. Activities know their stored answer, so asking again is
safe.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from temporalio import activity, workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, is_cancelled_exception

TRIES = 3  # if the activity was ended by hand, or its result cannot be read

Port = TypeVar("Port")
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class ActivityLost(ApplicationError):
    """No attempt gave a result that can be used. The loop pauses the run, so that a person can look."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, type="ActivityLost", non_retryable=True)


async def execute(method: Callable[[Port, Request], Awaitable[Answer]], request: Request, **options: Any) -> Answer:
    """The answer of this port's activity. `options` are those of `workflow.execute_activity`.

    Raises ActivityError if the activity failed, ActivityLost if no attempt gave a result that can be used.
    """
    definition = activity._Definition.must_from_callable(method)
    name, returned, why = str(definition.name), cast(Any, definition.ret_type), ""
    for _ in range(TRIES):
        try:
            raw: RawValue | None = await workflow.execute_activity(name, request, result_type=RawValue, **options)
        except ActivityError as error:
            if not _failed_by_hand(error):
                raise
            why = f"was failed by hand ({error.cause})"
            continue
        try:
            if not isinstance(raw, RawValue):
                raise ValueError("there is none")
            answer: Answer | None = workflow.payload_converter().from_payload(raw.payload, returned)
            if answer is None:
                raise ValueError("it is null")
        except Exception as error:
            why = f"gave a result that cannot be read ({type(error).__name__})"
            workflow.logger.warning("%s %s", name, why)
            continue
        return answer
    raise ActivityLost(f"{name} {why}, {TRIES} times in a row")


def is_out_of_time(error: ActivityError) -> bool:
    """Whether the activity ran out of time: no worker took it, or none finished it. What it did is not known."""
    return isinstance(error.cause, TimeoutError) and not is_cancelled_exception(error)


def _failed_by_hand(error: ActivityError) -> bool:
    """Whether somebody failed the activity through Temporal. Our own failures always have a type."""
    return isinstance(error.cause, ApplicationError) and not error.cause.type
