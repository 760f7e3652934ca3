"""Runs the activities for the next step: a plan from the model, or the current budget.

Does not touch the state: it returns events, and the loop applies them.
"""

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import options
from workflows.activity_calls import execute
from workflows.alarms import due_notices, keys_of
from workflows.contracts.alarms import AlarmsTold, BudgetBreached, BudgetWeighed, WeighRequest
from workflows.contracts.events import StepEvent
from workflows.contracts.model import PlanRequest
from workflows.endings import breach_in
from workflows.governance import notes_for, time_left
from workflows.ports import BudgetsPort, ModelPort
from workflows.state import RunState


async def plan_step(state: RunState, queue: str | None) -> tuple[StepEvent, ...]:
    """Ask the model for the next step. Raises ActivityError, but a breach of a budget that pauses is an event."""
    alarms = due_notices(state, workflow.now())
    left = time_left(state, workflow.now())
    request = PlanRequest(
        run_id=state.run_id,
        step=state.step + 1,
        next_seq=state.next_seq,
        messages=state.messages,
        journal=state.journal,
        notes=notes_for(state, alarms),
        alarms=alarms,
        ask_anyway=state.ask_anyway,
        seconds_left=left.total_seconds(),
    )
    try:
        plan = await execute(
            ModelPort.plan,
            request,
            summary=f"step {request.step}",
            **options.model(queue, left),
        )
    except ActivityError as error:
        pauses = state.opened is not None and state.opened.on_budget == "pause"
        breach = None if is_cancelled_exception(error) or not pauses else breach_in(error, state, workflow.now())
        if breach is None:
            raise
        return (breach,)
    if plan.away:
        return (plan.away,)
    return (plan, AlarmsTold(keys=keys_of(alarms))) if alarms and plan.next != "halted" else (plan,)


async def assess_breach(run_id: str, breach: BudgetBreached, queue: str | None) -> BudgetWeighed:
    """Read the current budget from the tables. A signal's claim about it is not trusted."""
    return await execute(
        BudgetsPort.weigh,
        WeighRequest(run_id=run_id, breach=breach),
        summary=breach.rule,
        **options.bookkeeping(queue),
    )
