"""Reads input from outside: start input, signals, updates. Ignores unknown fields, and says what is wrong.

A handler that raises would fail its workflow task, and the task would be retried for ever: signals that cannot be read
are dropped with a warning, updates are refused by their validator, and a start that cannot be read fails the run.
"""

from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio import workflow

from workflows.contracts.base import Frozen, explain
from workflows.contracts.runs import RunRequest
from workflows.state import INBOX_LIMIT, MESSAGES_SIZE, RunState, begin

Message = TypeVar("Message", bound=Frozen)


def read(model: type[Message], value: Any) -> Message:
    """`value` as a `model`. Raises ValueError with one line per problem; null reads as an object without fields."""
    try:
        return model.model_validate({} if value is None else value)
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def read_signal(model: type[Message], value: Any) -> Message | None:
    """`value` as a `model`. If it cannot be read, logs a warning and returns None: a signal cannot answer."""
    try:
        return read(model, value)
    except ValueError as error:
        workflow.logger.warning("ignored a signal that could not be read: %s", error)
        return None


def has_room(state: RunState) -> bool:
    """Whether another message can be noted: all noted messages have to fit into one payload."""
    noted = state.messages
    return len(noted) < INBOX_LIMIT and sum(len(message.text) for message in noted) < MESSAGES_SIZE


def read_start(value: Any) -> tuple[RunState, RunRequest | None]:
    """The state to go on from, and the request if this is the first execution. Raises ValueError.

    A state in the input is accepted only if Temporal says that this execution continues another one. Otherwise anybody
    who may start a workflow could start a run with an invented state.
    """
    info = workflow.info()
    if info.continued_run_id and isinstance(value, dict) and value.get("kind") == "run.state":
        return read(RunState, value), None
    request = read(RunRequest, value)
    return begin(info.workflow_id, request), request
