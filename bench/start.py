"""Time from the start of a run to its first activity, and to its first model call, beside the bare workflow.

Both ends are times that the server wrote into the history, so no client is in it. Runs are started one after the other.
"""

from datetime import datetime
from statistics import median, quantiles
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from bench.results import Line
from bench.site import BARE, OURS, Site, check

RATIO = 1.2
MODEL_CALL = "model.plan"


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Runs of one step, of each kind in turn."""
    count, warm = (10, 2) if quick else (100, 10)
    workers = {kind: await site.worker(kind) for kind in (OURS, BARE)}
    activity: dict[str, list[float]] = {kind: [] for kind in workers}
    model: list[float] = []
    for number in range(warm + count):
        for kind, worker in workers.items():
            handle = await site.start(worker, 1)
            check(await handle.result(), 1)
            first, planned = await _times(handle)
            if number >= warm:
                activity[kind].append(first)
                model += [planned] if kind == OURS else []
    for worker in workers.values():
        await worker.stop()
    figures = {kind: _summary(values) for kind, values in activity.items()}
    ours, bare, first_call = figures[OURS], figures[BARE], _summary(model)
    lines = [
        Line(
            f"start of a run to its first activity, {name}",
            f"{ours[name]:.0f} ms ({ours[name] / bare[name]:.2f} x)",
            f"{bare[name]:.0f} ms",
            f"≤ {RATIO} x bare",
            ours[name] <= RATIO * bare[name],
        )
        for name in ("p50", "p95")
    ]
    lines.append(
        Line(
            "start of a run to its first model call, p50 / p95", f"{first_call['p50']:.0f} / {first_call['p95']:.0f} ms"
        )
    )
    return {"runs": count, "first_activity_ms": figures, "first_model_call_ms": first_call}, lines


async def _times(handle: WorkflowHandle[Any, Any]) -> tuple[float, float]:
    """Milliseconds from the start of the run until its first activity started, and its first model call."""
    began: datetime | None = None
    scheduled: dict[int, str] = {}
    started: dict[str, float] = {}
    async for event in handle.fetch_history_events():
        at = event.event_time.ToDatetime()
        began = began or at
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled[event.event_id] = event.activity_task_scheduled_event_attributes.activity_type.name
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            name = scheduled[event.activity_task_started_event_attributes.scheduled_event_id]
            started.setdefault(name, (at - began).total_seconds() * 1_000)
    return min(started.values()), started.get(MODEL_CALL, 0.0)


def _summary(values: list[float]) -> dict[str, float]:
    return {"p50": round(median(values), 2), "p95": round(quantiles(values, n=20)[18], 2)}
