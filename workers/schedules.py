"""Schedules that keep the house clean. Made by whoever runs the operations role; safe to repeat."""

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

REAPER_EVERY = timedelta(minutes=5)  # how long a terminated run may look open in our tables
DRILL_EVERY = timedelta(weeks=1)  # `doctor` warns a day after one was missed (workers/doctor_controls.py)


async def ensure_reaper(client: Client, task_queue: str) -> str:
    """The reaper's schedule for this queue, made if it is not there. Returns its id."""
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
    """The weekly drill of this queue, made or changed to this request. Returns its schedule's id."""
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
    """No weekly drill any more. Returns the id that its schedule had."""
    schedule_id = f"drill-{task_queue}"
    try:
        await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
    return schedule_id
