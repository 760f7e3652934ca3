"""Maps a failed activity to the ending of its run. Only the failure's type decides; its text is for people."""

from datetime import datetime

from temporalio.exceptions import ActivityError, ApplicationError, FailureError, TimeoutError

from workflows.alarms import breach, used_of
from workflows.contracts.alarms import OWN_RULES, BudgetBreached
from workflows.contracts.runs import Ending
from workflows.state import RunState

REASON_LIMIT = 1_000  # characters
BUDGET_REACHED = "BudgetReached"  # the type of a failure whose first detail is the rule, such as budget.tokens


def ending_after(error: ActivityError) -> Ending:
    """The end of a run whose activity failed for good."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == BUDGET_REACHED:
        rule = str(cause.details[0]) if cause.details else "budget"
        return Ending(status="stopped", rule=rule, reason=_clipped(cause.message))
    if isinstance(cause, ApplicationError):
        return Ending(status="failed", rule=f"failed.{cause.type or 'error'}", reason=_clipped(cause.message))
    if isinstance(cause, TimeoutError):
        last = f"; the last try said: {cause.cause}" if isinstance(cause.cause, FailureError) else ""
        reason = f"{error.activity_type} did not finish in the time it had{last}"
        if error.activity_type == "model.plan":
            return Ending(status="stopped", rule="budget.minutes", reason=_clipped(reason))
        return Ending(status="failed", rule="failed.timeout", reason=_clipped(reason))
    return Ending(status="failed", rule="failed.activity", reason=_clipped(f"{error.activity_type}: {cause or error}"))


def breach_in(error: ActivityError, state: RunState, now: datetime) -> BudgetBreached | None:
    """The run's own budget that a model call exceeded; None if it failed for another reason."""
    ending = ending_after(error)
    if ending.rule not in OWN_RULES:
        return None
    return breach(ending.rule, state, used_of(ending.rule, state, now), ending.reason)


def refusal_to_open(error: ActivityError) -> ApplicationError:
    """The failure of a workflow whose run was never admitted: such a run has no outcome."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return ApplicationError(cause.message, type=cause.type or "RunRefused", non_retryable=True)
    return ApplicationError(f"the run could not be opened: {cause or error}", type="RunNotOpened", non_retryable=True)


def _clipped(text: str) -> str:
    return text if len(text) <= REASON_LIMIT else text[:REASON_LIMIT] + "…"
