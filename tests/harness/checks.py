"""What holds for every run, however it went: looked up in the tables and in Temporal's history."""

import json
from collections import Counter
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from activities.liveness.takeover import GONE
from tests.harness.stanchion import Stanchion


async def assert_sound(stanchion: Stanchion, run_id: str) -> None:
    """The transcript is dense, and every call the model made has exactly one result."""
    rows = await stanchion.transcript(run_id)
    assert [seq for seq, *_ in rows] == list(range(len(rows)))
    asked = Counter(
        block["call_id"]
        for _, kind, _, content in rows
        if kind == "response"
        for block in json.loads(content)
        if block["type"] == "call"
    )
    answered = Counter(json.loads(content)[0]["call_id"] for _, kind, _, content in rows if kind == "result")
    assert asked == answered
    assert set(asked.values()) <= {1}


async def events(handle: WorkflowHandle[Any, Any], kind: "EventType.ValueType") -> list[Any]:
    """The events of one kind in the history of the run's latest execution."""
    return [event async for event in handle.fetch_history_events() if event.event_type == kind]


async def assert_no_task_failed(handle: WorkflowHandle[Any, Any]) -> None:
    """No workflow task failed: nothing that came in made the workflow's code stumble.

    A task that a survivor failed for a dead worker is none of that.
    """
    failed = await events(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
    failures = [event.workflow_task_failed_event_attributes.failure for event in failed]
    assert [each.message for each in failures if each.application_failure_info.type != GONE] == []


async def facts(stanchion: Stanchion, run_id: str, kind: str) -> list[dict[str, Any]]:
    """The trace log's events of one kind, in order."""
    rows = await stanchion.rows("SELECT body FROM events WHERE run_id = $1 AND kind = $2 ORDER BY n", run_id, kind)
    return [json.loads(row["body"]) for row in rows]
