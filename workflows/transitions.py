"""`apply(state, event) -> state`: what each event does to a run's state. The only writer of `RunState`.

Pure: the same state and event give the same state, on a replay as on the first run.
"""

from datetime import datetime, timedelta
from typing import assert_never

from workflows.contracts.alarms import AlarmsTold, BudgetBreached, BudgetMarked, BudgetWeighed, CostAlarm
from workflows.contracts.events import (
    ApprovalExpired,
    ApprovalRequested,
    BudgetGranted,
    CallClaimed,
    CallFinished,
    CallObserved,
    ChildEnded,
    ChildStarted,
    ClockStarted,
    ClockStopped,
    DecisionNoted,
    DecisionRecorded,
    LateResult,
    OutcomeUnknown,
    RolledOver,
    RunClosed,
    StepEvent,
    VerdictGiven,
    WaitEnded,
    WaitStarted,
)
from workflows.contracts.halts import HaltNotice
from workflows.contracts.messages import (
    REASON_LIMIT,
    HaltOrdered,
    Journal,
    MessageReceived,
    Order,
    PauseOrdered,
    ResumeOrdered,
)
from workflows.contracts.model import Plan, VendorAsked, VendorAway
from workflows.contracts.reviews import ReviewGiven
from workflows.contracts.runs import Ending, RunOpened
from workflows.state import OpenTimer, RunState, active_seconds

RECENT_DECISIONS = 32  # decided approvals remembered, so that a late second answer is told "already decided"
REFUSALS_IN_A_ROW = 3  # one may be a misunderstanding, two bad luck
REFUSALS_IN_A_RUN = 20
JOURNAL_LIMIT = 50  # orders noted for the trace log; further orders are followed, but not logged


def apply(state: RunState, event: StepEvent) -> RunState:
    """The state after `event`. Facts that only matter to the trace log leave it as it was."""
    match event:
        case RunOpened():
            return _with(state, opened=event, next_seq=event.next_seq)
        case ClockStarted():
            return state if state.active_since else _with(state, active_since=event.at)
        case ClockStopped():
            return _clock_stopped(state, event.at)
        case Plan(halt=HaltNotice() as halt):
            return apply(state, order_of(halt))
        case Plan():
            return _planned(state, event)
        case CallFinished():
            return _call_finished(state, event)
        case ApprovalRequested():
            return _with(state, approvals=(*state.approvals, event.approval))
        case ApprovalExpired():
            return _approval_expired(state, event)
        case ReviewGiven():
            return _reviewed(state, event)
        case DecisionNoted():
            return _with(state, inbox=(*state.inbox, event))
        case DecisionRecorded():
            return _decision_recorded(state, event)
        case WaitStarted():
            return _with(state, timer=OpenTimer(call_id=event.call_id, until=event.until))
        case WaitEnded():
            woken = (*state.woken, state.timer.call_id) if state.timer else state.woken
            return _with(state, timer=None, woken=woken)
        case ChildStarted():
            known = any(child.call_id == event.call_id for child in state.children)
            return state if known else _with(state, children=(*state.children, event))
        case ChildEnded():
            return _with(state, woken=(*state.woken, event.call_id))
        case MessageReceived():
            return _with(state, messages=(*state.messages, event), loops=state.loops.forgotten())
        case HaltOrdered():
            return _halted(state, event)
        case PauseOrdered():
            kept = state.pause if event.halt else None  # lifting a halt does not end a person's pause
            return _with(state, pause=kept or event, journal=_message_noted(state, event))
        case ResumeOrdered(vendor=str() as vendor):
            return _vendor_resumed(state, event, vendor)
        case ResumeOrdered(halt=str() as halt) if state.pause is None or state.pause.halt != halt:
            return state
        case ResumeOrdered():
            return _resumed(state, event)
        case VendorAway():
            return _vendor_away(state, event)
        case VendorAsked():
            return _with(state, vendor=None)
        case BudgetBreached():
            return _with(state, breach=event)
        case BudgetWeighed():
            return _budget_assessed(state, event)
        case AlarmsTold():
            return _with(state, told=(*state.told, *event.keys))
        case RolledOver():
            return _with(state, rollovers=state.rollovers + 1)
        case RunClosed():
            return _with(state, ending=event.ending)
        case VerdictGiven() | CallClaimed() | CallObserved() | OutcomeUnknown() | LateResult():
            return state
        case BudgetMarked() | CostAlarm() | BudgetGranted():
            return state
        case _:
            assert_never(event)


def order_of(halt: HaltNotice) -> HaltOrdered | PauseOrdered:
    """The order that a halt is for a run: to end it, or to pause it until the halt is lifted."""
    if halt.scope == "run":
        return HaltOrdered(by=halt.by or None, reason=halt.reason[:REASON_LIMIT] or None)
    return PauseOrdered(by=halt.by or None, reason=str(halt)[:REASON_LIMIT], halt=halt.halt_id)


def _with(state: RunState, **changes: object) -> RunState:
    return state.having(**changes)


def _planned(state: RunState, plan: Plan) -> RunState:
    spent = state.spent.having(
        tokens=state.spent.tokens + plan.tokens, usd_micros=state.spent.usd_micros + plan.usd_micros
    )
    unread = state.messages[plan.messages :]  # more may have come while the model was asked
    overtaken = bool(unread) and plan.next == "answer"  # the model has not read them, so this is not its last word
    return _with(
        state,
        step=state.step + 1,
        next_seq=plan.next_seq,
        spent=spent,
        pending=plan.calls,
        ending=None if overtaken else _ending(plan),
        messages=unread,
        journal=state.journal[plan.orders :],
        loops=state.loops.heard(),
        ask_anyway=False,
        active_since=_later(state.active_since, plan.idle_seconds),
    )


def _later(active_since: datetime | None, idle_seconds: float) -> datetime | None:
    """The start of the active period, moved so that idle time does not count."""
    return active_since + timedelta(seconds=idle_seconds) if active_since and idle_seconds else active_since


def _vendor_away(state: RunState, away: VendorAway) -> RunState:
    """The run waits with its clock stopped. If waiting cannot help, it pauses for a person."""
    since = _later(state.active_since, away.idle_seconds)
    state = _with(state, vendor=away, ask_anyway=False, active_since=since)
    if not away.needs_person:
        return state
    return apply(state, PauseOrdered(reason=str(away)[:REASON_LIMIT], vendor=away.vendor))


def _vendor_resumed(state: RunState, order: ResumeOrdered, vendor: str) -> RunState:
    """Ask this vendor again now, if the run waits for it. A pause for another reason stays."""
    if state.vendor is None or state.vendor.vendor != vendor:
        return state
    state = _with(state, vendor=None, ask_anyway=True, journal=_message_noted(state, order))
    return _with(state, pause=None) if state.pause and state.pause.vendor == vendor else state


def _ending(plan: Plan) -> Ending | None:
    match plan.next:
        case "answer":
            return Ending(status="completed", rule="answered")
        case "refused":
            return Ending(status="stopped", rule="model.refused", reason="the model declined to go on")
        case "context":
            return Ending(
                status="stopped", rule="model.context", reason="the transcript no longer fits the model's window"
            )
        case "empty":
            return Ending(status="stopped", rule="model.empty", reason="the model gave an empty answer twice in a row")
        case "thinking":
            reason = "the model used its whole output limit for thinking, twice in a row; raise max_output_tokens"
            return Ending(status="stopped", rule="model.thinking", reason=reason)
        case "calls" | "again" | "halted" | "away":
            return None
        case _:
            assert_never(plan.next)


def _call_finished(state: RunState, event: CallFinished) -> RunState:
    done = next((call for call in state.pending if call.call_id == event.call_id), None)
    if done is None:
        return state
    rollback = state.opened is not None and state.opened.rollback
    old_rules = state.opened is not None and state.opened.loop_rules < 1
    loops = state.loops
    if not rollback:  # whose plan is our own
        loops = loops.after(done, event, waiting_forgives_writes=old_rules)
        state = _refusals_counted(state, event)
    return _with(
        state,
        pending=tuple(call for call in state.pending if call is not done),
        spent=state.spent.having(tool_calls=state.spent.tool_calls + 1),
        delegated=state.delegated.plus(event.spent),
        children=tuple(child for child in state.children if child.call_id != event.call_id),
        loops=loops,
        mistakes=state.mistakes + 1 if event.correctable else 0,
        expired=tuple(call_id for call_id in state.expired if call_id != event.call_id),
        woken=tuple(call_id for call_id in state.woken if call_id != event.call_id),
    )


def _refusals_counted(state: RunState, event: CallFinished) -> RunState:
    """Count refusals. A run that is refused again and again may be hijacked or stuck, so it pauses for a person."""
    if not event.refused:
        return _with(state, refusals_in_a_row=0)
    state = _with(state, refusals=state.refusals + 1, refusals_in_a_row=state.refusals_in_a_row + 1)
    if state.pause or (state.refusals_in_a_row < REFUSALS_IN_A_ROW and state.refusals < REFUSALS_IN_A_RUN):
        return state
    how = f"{state.refusals_in_a_row} in a row" if state.refusals_in_a_row >= REFUSALS_IN_A_ROW else f"{state.refusals}"
    order = PauseOrdered(reason=f"refused {how}: look at what it wants, then resume or halt it")
    return _with(state, pause=order, journal=_message_noted(state, order))


def _resumed(state: RunState, order: ResumeOrdered) -> RunState:
    """A person resumed the run: refusals and loops counted so far are forgotten."""
    state = _with(state, pause=None, refusals=0, refusals_in_a_row=0, loops=state.loops.forgave())
    anyway = state.ask_anyway or state.vendor is not None
    return _with(state, vendor=None, ask_anyway=anyway, journal=_message_noted(state, order))


def _budget_assessed(state: RunState, event: BudgetWeighed) -> RunState:
    """Store the current budget. If nobody added to it, the run pauses."""
    if state.opened is None:
        return state
    before, now = state.opened.budget, event.budget
    state = _with(
        state,
        opened=state.opened.having(budget=now),
        told=tuple(key for key in state.told if before.cap_of(name := key.partition(":")[0]) == now.cap_of(name)),
    )
    if now.cap_of(event.breach.rule) > event.breach.cap:
        return _with(state, breach=None)
    return apply(_with(state, breach=event.breach), PauseOrdered(reason=event.breach.told[:REASON_LIMIT]))


def _approval_expired(state: RunState, event: ApprovalExpired) -> RunState:
    calls = tuple(a.call_id for a in state.approvals if a.approval_id == event.approval_id)
    lapsed = (*state.lapsed, event.approval_id)[-RECENT_DECISIONS:]
    return _with(_without_approval(state, event.approval_id), expired=(*state.expired, *calls), lapsed=lapsed)


def _reviewed(state: RunState, event: ReviewGiven) -> RunState:
    spent = state.spent.having(
        tokens=state.spent.tokens + event.tokens, usd_micros=state.spent.usd_micros + event.usd_micros
    )
    state = _with(state, spent=spent)
    if event.closes:
        return _without_approval(state, event.approval_id)
    asked = tuple(a.having(reviewer=None) if a.approval_id == event.approval_id else a for a in state.approvals)
    return _with(state, approvals=asked)


def _decision_recorded(state: RunState, event: DecisionRecorded) -> RunState:
    state = _with(state, inbox=state.inbox[1:])
    if not event.receipt.closes:
        return state
    state = _without_approval(state, event.receipt.approval_id)
    if event.verdict != "stop" or event.receipt.answer != "accepted":
        return state
    return _halted(state, HaltOrdered(by=event.by, reason="an effect's outcome is unknown"))


def _halted(state: RunState, order: HaltOrdered) -> RunState:
    """Note the halt. If there are several, the first one counts."""
    journal = _message_noted(state, order) if state.halt else (*state.journal, order)
    return _with(state, halt=state.halt or order, journal=journal)


def _message_noted(state: RunState, order: Order) -> Journal:
    return state.journal if len(state.journal) >= JOURNAL_LIMIT else (*state.journal, order)


def _without_approval(state: RunState, approval_id: str) -> RunState:
    return _with(
        state,
        approvals=tuple(a for a in state.approvals if a.approval_id != approval_id),
        decided=(*state.decided, approval_id)[-RECENT_DECISIONS:],
    )


def _clock_stopped(state: RunState, at: datetime) -> RunState:
    spent = state.spent.having(seconds=active_seconds(state, at))
    return _with(state, spent=spent, active_since=None)
