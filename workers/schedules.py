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
)

from workflows.reaper import ReaperWorkflow

REAPER_EVERY = timedelta(minutes=5)  # how long a terminated run may look open in our tables


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
