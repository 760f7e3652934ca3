"""AgentWorkflow: the loop of one run. Read this file first.

    open -> [ plan -> call -> (wait for a person) -> ... ] -> close

Handlers only apply an event to `RunState`; the loop acts. In each turn the loop asks `govern` whether the run may go on
and `next_move` what to do, calls a port, and applies the result. The state holds all that the loop must remember, so
the run can continue in a fresh history after any turn.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, assert_never

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from workflows import options, patches
from workflows.activity_calls import ActivityLost, execute, is_out_of_time
from workflows.approvals import answer_without_tables, expiry, opened_by
from workflows.children import Children
from workflows.compensation import undo_after
from workflows.contracts.approvals import OpenApproval, RecordRequest
from workflows.contracts.calls import (
    RESPONDED,
    CallRequest,
    CallResult,
    Halted,
    NeedsApproval,
    Observed,
    Refused,
    Spawn,
    Unknown,
    Wait,
)
from workflows.contracts.events import (
    ApprovalExpired,
    ApprovalRequested,
    CallFinished,
    ChildStarted,
    ClockStopped,
    DecisionRecorded,
    RolledOver,
    RunClosed,
    StepEvent,
    WaitEnded,
    WaitStarted,
)
from workflows.contracts.messages import REASON_LIMIT, HaltOrdered, PauseOrdered
from workflows.contracts.model import PlannedCall, VendorAsked
from workflows.contracts.reviews import ReviewGiven, ReviewRequest
from workflows.contracts.runs import WORKFLOW_TYPE, OpenRequest, QueueLayout, RunOutcome, RunRequest
from workflows.endings import ending_after, refusal_to_open
from workflows.governance import (
    AssessBreach,
    Go,
    Intervene,
    Pause,
    Stop,
    closing,
    govern,
    refusal_of,
    used_for,
)
from workflows.handlers import Handlers
from workflows.input_reading import read_start
from workflows.next_move import (
    AskModel,
    AwaitChildren,
    AwaitDecision,
    AwaitVendor,
    Perform,
    Record,
    Review,
    Sleep,
    next_move,
)
from workflows.next_step import assess_breach, plan_step
from workflows.ports import ApprovalsPort, GatewayPort, ReviewsPort, RunsPort
from workflows.rollover import due_for_rollover
from workflows.search import attributes_of
from workflows.state import OpenTimer, RunState, status_word
from workflows.transitions import apply, order_of
from workflows.visible import show_hidden_characters


@workflow.defn(name=WORKFLOW_TYPE)
class AgentWorkflow(Handlers):
    """One run of an agent towards a goal."""

    @workflow.init
    def __init__(self, start: Any = None, *_: Any) -> None:
        super().__init__()
        self._request: RunRequest | None = None
        self._invalid = ""
        self._children = Children()
        self._interruptible = True
        try:
            self._state, self._request = read_start(start)
        except ValueError as error:
            self._invalid = str(error)

    @workflow.run
    async def run(self, start: Any = None, *_: Any) -> RunOutcome:
        """Run to the end. Input and result are the public contract: `RunRequest` and `RunOutcome`."""
        if self._invalid:
            raise ApplicationError(f"the start input is not valid: {self._invalid}", type="InvalidRequest")
        work = asyncio.create_task(self._work())
        await self._outlast(work)
        self._state = self._ended(work)
        self._interruptible = False
        finish = asyncio.create_task(self._finish())
        await self._outlast(finish)
        return finish.result()

    # ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _work(self) -> None:
        if self._state.opened is None and await self._open():
            return
        while True:
            try:
                if await self._turn():
                    return
            except ActivityLost as lost:
                self._apply(PauseOrdered(reason=lost.message[:REASON_LIMIT]))
            except ActivityError as error:
                if not is_out_of_time(error):
                    raise
                self._apply(PauseOrdered(reason=ending_after(error).reason[:REASON_LIMIT]))

    async def _turn(self) -> bool:
        """One turn of the loop. True if the run is over."""
        match govern(self._state, workflow.now(), patches.loops_pause):
            case Stop(ending=ending):
                self._apply(RunClosed(ending=ending))
                return True
            case Intervene(order=order):
                self._apply(order)
            case AssessBreach(breach=breach):
                self._apply(await assess_breach(self._state.run_id, breach, self._queues.operations))
            case Pause() if not self._state.inbox:
                await self._roll_over_if_due()
                await self._park(lambda: self._state.pause is None or bool(self._state.inbox))
            case Pause():
                await self._record()
            case Go():
                await self._roll_over_if_due()
                await self._advance()
        return False

    async def _advance(self) -> None:
        match next_move(self._state):
            case Record():
                await self._record()
            case Review(approval=approval):
                await self._review(approval)
            case AwaitDecision(approval=approval):
                await self._await_decision(approval)
            case Sleep(timer=timer):
                await self._sleep(timer)
            case AwaitVendor(until=until):
                await self._await_vendor(until)
            case AwaitChildren():
                await self._await_children()
            case Perform(calls=calls):
                await self._perform(calls)
            case AskModel():
                await self._ask_model()
            case other:
                assert_never(other)

    async def _open(self) -> bool:
        """Open the run. True if a run with this key is already over; its outcome is then the result."""
        assert self._request is not None
        request = OpenRequest(
            run_id=self._state.run_id, chain_id=workflow.info().first_execution_run_id, request=self._request
        )
        try:
            opened = await execute(RunsPort.open, request, **options.opening())
        except ActivityError as error:
            raise error if is_cancelled_exception(error) else refusal_to_open(error) from error
        self._apply(opened)
        workflow.upsert_search_attributes(attributes_of(self._state))
        return opened.finished is not None

    async def _ask_model(self) -> None:
        self._start_clock()
        for event in await plan_step(self._state, self._queues.model):
            self._apply(event)

    async def _perform(self, calls: tuple[PlannedCall, ...]) -> None:
        self._start_clock()
        results = await asyncio.gather(*(self._call(call) for call in calls), return_exceptions=True)
        for result in results:
            if not isinstance(result, BaseException):
                self._apply(_event_of(result))
        self._children.start(self._state)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _call(self, call: PlannedCall) -> CallResult:
        request = CallRequest(
            run_id=self._state.run_id,
            call_id=call.call_id,
            refuse=refusal_of(self._state, call),
            woken=call.call_id in self._state.woken,
            used_seconds=used_for(self._state, call, workflow.now()),
        )
        return await execute(
            GatewayPort.call,
            request,
            summary=show_hidden_characters(f"{call.tool} {call.call_id}"),
            **options.gateway(self._queues.tools, timedelta(seconds=call.timeout)),
        )

    # ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _await_decision(self, approval: OpenApproval) -> None:
        limit = expiry(approval, workflow.now())
        if not await self._park(lambda: bool(self._state.inbox), limit, f"{approval.approval_id} expires"):
            self._apply(ApprovalExpired(approval_id=approval.approval_id))

    async def _review(self, approval: OpenApproval) -> None:
        request = ReviewRequest(run_id=self._state.run_id, approval_id=approval.approval_id)
        try:
            given = await execute(
                ReviewsPort.give,
                request,
                summary=f"{approval.reviewer} reviews {approval.tool}",
                **options.reviewing(self._queues.model),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            given = ReviewGiven(approval_id=approval.approval_id, reason="the reviewer gave no answer in time")
        self._apply(given)

    async def _sleep(self, timer: OpenTimer) -> None:
        limit, summary = _time_until(timer.until), f"wait {timer.call_id}"
        asleep = await self._park(lambda: bool(self._state.messages), limit, summary)
        if not asleep or self._state.messages:
            self._apply(WaitEnded())

    async def _await_vendor(self, until: datetime) -> None:
        limit, summary = _time_until(until), "ask the vendor again"
        if not await self._park(lambda: not self._state.vendor or bool(self._state.inbox), limit, summary):
            self._apply(VendorAsked())

    async def _await_children(self) -> None:
        await self._park(lambda: self._children.any_ended(self._state) or bool(self._state.inbox))
        for ended in self._children.ended(self._state):
            self._apply(ended)

    async def _record(self) -> None:
        noted = self._state.inbox[0]
        receipt = answer_without_tables(self._state, noted.decision, workflow.now())
        if receipt is None:
            receipt = await execute(
                ApprovalsPort.record,
                RecordRequest(run_id=self._state.run_id, decision=noted.decision),
                summary=noted.decision.approval_id,
                **options.bookkeeping(self._queues.operations),
            )
        if noted.ticket:
            self._receipts[noted.ticket] = receipt
        self._apply(DecisionRecorded(receipt=receipt, verdict=noted.decision.verdict, by=noted.decision.by))

    async def _park(self, wake: Callable[[], bool], limit: timedelta | None = None, summary: str | None = None) -> bool:
        """Wait with the clock stopped. Returns False if `limit` passed first. Also returns when a roll-over is due."""
        self._apply(ClockStopped(at=workflow.now()))
        self._announce(status_word(self._state))
        try:
            await workflow.wait_condition(
                lambda: wake() or due_for_rollover(self._state), timeout=limit, timeout_summary=summary
            )
        except TimeoutError:
            return False
        return True

    async def _roll_over_if_due(self) -> None:
        if self._state.inbox or not due_for_rollover(self._state):
            return
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._apply(RolledOver())
        workflow.continue_as_new(self._state)

    # ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _outlast(self, task: "asyncio.Task[Any]") -> None:
        """Wait until `task` is done. A halt cancels it once; calls in flight then settle."""
        while not task.done():
            try:
                await workflow.wait_condition(lambda: task.done() or self._must_interrupt())
            except asyncio.CancelledError:
                self._apply(
                    HaltOrdered(cancelled=True, reason=(workflow.cancellation_reason() or "")[:REASON_LIMIT] or None)
                )
            if self._must_interrupt() and not task.done():
                self._interruptible = False
                task.cancel()

    def _must_interrupt(self) -> bool:
        return self._interruptible and self._state.halt is not None

    def _ended(self, work: "asyncio.Task[None]") -> RunState:
        """The state with its ending. Raises what is no ending of a run: a roll-over, a refusal to open, a bug."""
        error = None if work.cancelled() else work.exception()
        if isinstance(error, ActivityError) and not is_cancelled_exception(error):
            return apply(self._state, RunClosed(ending=ending_after(error)))
        if error is not None and not is_cancelled_exception(error):
            raise error
        return self._state

    async def _finish(self) -> RunOutcome:
        """Store the end of the run, then let the handlers that wait return."""
        if self._state.opened and self._state.opened.finished:
            return self._state.opened.finished
        await self._children.stop()
        request = closing(self._state, workflow.now())
        outcome = await execute(
            RunsPort.close, request, summary=request.ending.rule, **options.bookkeeping(self._queues.operations)
        )
        await undo_after(self._state, request.ending)
        self._announce(request.ending.status)
        self._over = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        return outcome

    # ── bookkeeping ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _queues(self) -> QueueLayout:
        return self._state.opened.queues if self._state.opened else QueueLayout()


def _time_until(moment: datetime) -> timedelta:
    """Never below a millisecond: a timer of zero never fires."""
    return max(moment - workflow.now(), timedelta(milliseconds=1))


def _event_of(result: CallResult) -> StepEvent:
    match result:
        case Observed(call_id=call_id):
            return CallFinished(
                call_id=call_id, is_error=result.is_error, result=result.digest, new=result.new, spent=result.spent
            )
        case Refused(call_id=call_id, correctable=correctable):
            performed = result.rule == RESPONDED
            return CallFinished(
                call_id=call_id, correctable=correctable, refused=result.against_it, performed=performed
            )
        case NeedsApproval() | Unknown():
            return ApprovalRequested(approval=opened_by(result))
        case Wait(call_id=call_id, until=until):
            return WaitStarted(call_id=call_id, until=until)
        case Spawn(call_id=call_id, run_id=run_id, agent=agent, goal=goal):
            return ChildStarted(call_id=call_id, run_id=run_id, agent=agent, goal=goal)
        case Halted(halt=halt):
            return order_of(halt)
        case _:
            assert_never(result)
