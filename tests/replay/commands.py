"""What a history says of the workflow's commands: the order of its activities, timers, updates and attributes."""

from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

E = EventType
COMMANDS: dict[int, str] = {
    E.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: "cancel activity",
    E.EVENT_TYPE_TIMER_CANCELED: "cancel timer",
    E.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "complete",
    E.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "fail",
    E.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "end as cancelled",
    E.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continue as new",
    E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "accept update",
    E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED: "complete update",
    E.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: "start child",
    E.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: "cancel child",
    E.EVENT_TYPE_TIMER_STARTED: "start timer",
}


def commands(history: WorkflowHistory) -> list[str]:
    """The commands of a history, one line each, in order."""
    return [line for event in history.events if (line := _command(event))]


def _command(event: Any) -> str | None:
    if event.event_type == E.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        return f"activity {event.activity_task_scheduled_event_attributes.activity_type.name}"
    if event.event_type == E.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
        written = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
        return f"attributes {' '.join(sorted(written))}"
    if event.event_type == E.EVENT_TYPE_MARKER_RECORDED:
        return f"marker {event.marker_recorded_event_attributes.marker_name}"
    return COMMANDS.get(event.event_type)
