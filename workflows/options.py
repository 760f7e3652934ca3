"""One table: activity -> time-outs, retries, heartbeat, cancellation. The workflow passes nothing else.

Every activity has a bound on all attempts together, so that one that cannot succeed ends or pauses its run with a
reason instead of being retried for ever.
"""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

HEARTBEAT = timedelta(seconds=6)  # two missed beats: slower than a worker restart, faster than a person notices
OUTAGE = timedelta(hours=24)  # how long a step or a call waits for a worker or Postgres; then the run pauses
MODEL_MARGIN = timedelta(seconds=60)  # the activity ends a model call itself when the run's active time is used up
BOOKKEEPING_CALL = timedelta(seconds=30)  # one transaction, with room for a slow disk
BOOKKEEPING_TOTAL = timedelta(hours=24)  # Postgres may be away for a night; a run's end is worth waiting for
REVIEW = timedelta(minutes=2)  # people wait for the reviewer to finish before their answers are looked at
GATEWAY_MARGIN = timedelta(seconds=60)  # on top of the tool's own time-out: claim, settle, probe

# One second first, so that a run moves on soon after a crash; half a minute at most, so that it does after an outage.
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=1), timedelta(seconds=30)


class Options(TypedDict, total=False):
    """Keyword arguments of `workflow.execute_activity_method`."""

    task_queue: str | None
    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


def _retries() -> RetryPolicy:
    """A new policy for each call: the SDK's class is mutable, and all runs share this module."""
    return RetryPolicy(initial_interval=FIRST_RETRY, backoff_coefficient=2.0, maximum_interval=LONGEST_RETRY)


def bookkeeping(queue: str | None = None) -> Options:
    """`runs.open`, `runs.close`, `approvals.record`, `budgets.weigh`, `undo.start`: one transaction each."""
    return Options(
        task_queue=queue,
        start_to_close_timeout=BOOKKEEPING_CALL,
        schedule_to_close_timeout=BOOKKEEPING_TOTAL,
        retry_policy=_retries(),
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def opening() -> Options:
    """`runs.open`: a run that cannot be admitted within the hour is refused."""
    return Options(**bookkeeping() | Options(schedule_to_close_timeout=timedelta(hours=1)))


def reaping() -> Options:
    """`runs.reap`: asks Temporal about some runs; the next pass is minutes away, so a failed one does no harm."""
    return Options(
        start_to_close_timeout=timedelta(minutes=5),
        schedule_to_close_timeout=timedelta(minutes=10),
        retry_policy=_retries(),
    )


def drilling() -> Options:
    """`drills.run`: decoys have to come to work, be halted and be looked at. A drill that failed is not tried again."""
    return Options(
        start_to_close_timeout=timedelta(minutes=15),
        schedule_to_close_timeout=timedelta(minutes=20),
        retry_policy=RetryPolicy(maximum_attempts=1),
    )


def model(queue: str | None, left: timedelta) -> Options:
    """`model.plan`: an attempt may take the active time that is left. The provider bounds silence, not length."""
    return Options(
        task_queue=queue,
        start_to_close_timeout=left + MODEL_MARGIN,
        schedule_to_close_timeout=left + OUTAGE,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=_retries(),
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def reviewing(queue: str | None) -> Options:
    """`reviews.give`: a short model call; if it takes longer than a person would wait, people decide alone."""
    return Options(
        task_queue=queue,
        start_to_close_timeout=REVIEW,
        schedule_to_close_timeout=REVIEW,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=_retries(),
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def gateway(queue: str | None, tool_timeout: timedelta) -> Options:
    """`gateway.call`: cancellation waits until the gateway has settled what was in flight."""
    return Options(
        task_queue=queue,
        start_to_close_timeout=tool_timeout + GATEWAY_MARGIN,
        schedule_to_close_timeout=tool_timeout + GATEWAY_MARGIN + OUTAGE,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=_retries(),
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )
