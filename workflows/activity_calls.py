"""Runs an activity for the loop, and asks again if what came back was no answer of ours.

The result is decoded here and not by the SDK: one that cannot be read (an operator's `temporal activity complete`, a
newer worker's answer) would fail the workflow task for ever. Activities know their stored answer, so asking again is
safe.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from temporalio import activity, workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, is_cancelled_exception

TRIES = 3  # of what was lost by hand or cannot be read

Port = TypeVar("Port")
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class ActivityLost(ApplicationError):
    """An activity gave no answer that can be used; a person has to look. In the loop, the run pauses for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, type="ActivityLost", non_retryable=True)


async def execute(method: Callable[[Port, Request], Awaitable[Answer]], request: Request, **options: Any) -> Answer:
    """The answer of this port's activity. `options` are those of `workflow.execute_activity`.

    Raises ActivityError if it failed, ActivityLost if there is no answer that can be used.
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
    """Whether no attempt could end: no worker was there, or none of them answered. What it did is not known."""
    return isinstance(error.cause, TimeoutError) and not is_cancelled_exception(error)


def _failed_by_hand(error: ActivityError) -> bool:
    """Whether somebody failed the activity through Temporal: every failure of our own has a type."""
    return isinstance(error.cause, ApplicationError) and not error.cause.type
