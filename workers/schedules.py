"""Temporal schedules of a task queue: the reaper and the weekly drill. Each function is safe to repeat."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts.drills import DrillRequest
from workflows.drill import DrillWorkflow
from workflows.reaper import ReaperWorkflow

REAPER_EVERY = timedelta(minutes=5)  # a terminated run may still look open in our tables until the next reaper run
DRILL_EVERY = timedelta(weeks=1)  # `doctor` warns one day after a drill was missed (workers/doctor_controls.py)


async def ensure_reaper(client: Client, task_queue: str) -> str:
    """Create the reaper's schedule for this queue, unless it exists. Returns the schedule's id."""
    schedule_id = f"reaper-{task_queue}"
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(ReaperWorkflow.run, id=schedule_id, task_queue=task_queue),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=REAPER_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=REAPER_EVERY),
    )
    try:
        await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:
        pass
    return schedule_id


async def ensure_drill(client: Client, task_queue: str, request: DrillRequest) -> str:
    """Create or update the schedule of this queue's weekly drill. Returns the schedule's id."""
    schedule_id = f"drill-{task_queue}"
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(DrillWorkflow.run, request, id=schedule_id, task_queue=task_queue),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=DRILL_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=DRILL_EVERY),
    )
    try:
        await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(schedule_id).update(lambda _: ScheduleUpdate(schedule=schedule))
    return schedule_id


async def drop_drill(client: Client, task_queue: str) -> str:
    """Delete the schedule of this queue's weekly drill, if it exists. Returns the schedule's id."""
    schedule_id = f"drill-{task_queue}"
    try:
        await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
    return schedule_id
