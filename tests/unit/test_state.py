"""RunState and apply: whatever happens, in whatever order, the state stays one that the run can go on from."""

from datetime import timedelta
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.values import EPOCH, contract, instants, value
from workflows import display
from workflows.contracts.approvals import Decision, DecisionReceipt, OpenApproval
from workflows.contracts.base import Frozen
from workflows.contracts.budgets import Spent
from workflows.contracts.events import (
    ApprovalExpired,
    ApprovalRequested,
    CallFinished,
    ClockStarted,
    ClockStopped,
    DecisionNoted,
    DecisionRecorded,
    RolledOver,
    StepEvent,
    WaitEnded,
    WaitStarted,
)
from workflows.contracts.halts import HaltNotice
from workflows.contracts.messages import HaltOrdered, MessageReceived, PauseOrdered, ResumeOrdered
from workflows.contracts.model import Plan, PlannedCall
from workflows.contracts.reviews import ReviewGiven
from workflows.contracts.runs import RunRequest
from workflows.next_move import Move, next_move
from workflows.state import GOAL_LINE, OpenTimer, RunState, StatusWord, active_seconds, begin, status_word
from workflows.transitions import RECENT_DECISIONS, apply, order_of

MEMBERS: tuple[type[Frozen], ...] = get_args(get_args(StepEvent)[0])
events = st.lists(value(StepEvent), max_size=12)
states = contract(RunState)


def after(*happened: Any, state: RunState | None = None) -> RunState:
    """The state once all of it happened."""
    state = state or RunState(run_id="r")
    for event in happened:
        state = apply(state, event)
    return state


def history(state: RunState, happened: list[Any]) -> list[RunState]:
    """The state before, between and after."""
    states = [state]
    for event in happened:
        states.append(apply(states[-1], event))
    return states


def planned(*call_ids: str, **more: Any) -> Plan:
    """A plan of these calls."""
    calls = tuple(PlannedCall(call_id=c, seq=i, tool="look", digest=c) for i, c in enumerate(call_ids))
    return Plan(calls=calls, next_seq=5, **more)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda c: c.__name__)
@settings(max_examples=8)
@given(data=st.data())
def test_every_event_applies_to_every_state(member: type[Frozen], data: st.DataObject) -> None:
    assert isinstance(apply(data.draw(states), data.draw(contract(member))), RunState)


@settings(max_examples=30)
@given(state=states, happened=events)
def test_counters_never_go_back(state: RunState, happened: list[Any]) -> None:
    for before, now in pairwise(history(state, happened)):
        for counter in ("step", "rollovers"):
            assert getattr(now, counter) >= getattr(before, counter)
        for counter in ("usd_micros", "tokens", "tool_calls", "seconds"):
            assert getattr(now.spent, counter) >= getattr(before.spent, counter)


@settings(max_examples=30)
@given(state=states, happened=events)
def test_pending_calls_only_shrink_except_by_a_plan(state: RunState, happened: list[Any]) -> None:
    states_ = history(state, happened)
    for event, before, now in zip(happened, states_, states_[1:], strict=False):
        if isinstance(event, Plan) and event.halt is None:
            assert now.pending == event.calls
        else:
            kept = iter(before.pending)
            assert all(call in kept for call in now.pending)  # a subsequence: the order stays
            assert len(before.pending) - len(now.pending) <= 1


@settings(max_examples=30)
@given(state=states, happened=events)
def test_the_first_halt_stands(state: RunState, happened: list[Any]) -> None:
    for before, now in pairwise(history(state, happened)):
        assert before.halt is None or now.halt == before.halt


@settings(max_examples=30)
@given(state=states, happened=events)
def test_an_approval_leaves_only_by_expiry_a_decision_or_a_review(state: RunState, happened: list[Any]) -> None:
    states_ = history(state, happened)
    for event, before, now in zip(happened, states_, states_[1:], strict=False):
        gone = {a.approval_id for a in before.approvals} - {a.approval_id for a in now.approvals}
        if gone:
            assert isinstance(event, ApprovalExpired | DecisionRecorded | ReviewGiven)
            assert gone <= set(now.decided)
        assert len(now.decided) <= max(RECENT_DECISIONS, len(before.decided))


@given(state=states, happened=events)
def test_the_same_events_give_the_same_state(state: RunState, happened: list[Any]) -> None:
    assert after(*happened, state=state) == after(*happened, state=state)


@settings(max_examples=30)
@given(state=states, now=instants)
def test_every_state_has_a_next_move_a_word_and_a_display(state: RunState, now: Any) -> None:
    assert isinstance(next_move(state), Move)
    assert status_word(state) in get_args(StatusWord)
    assert display.status(state, now)["status"] == status_word(state)
    assert len(display.approvals(state)) == len(state.approvals)
    assert isinstance(display.details(state), str)


def test_a_run_begins_with_the_request_and_one_line_of_its_goal() -> None:
    goal = "first\n line " + "x" * 500
    state = begin("agent/a/1", RunRequest(agent="a", goal=goal, tenant="acme", requester="ana"))
    assert (state.run_id, state.agent, state.tenant, state.requester) == ("agent/a/1", "a", "acme", "ana")
    assert state.goal_line.startswith("first line x") and len(state.goal_line) == GOAL_LINE


def test_a_plan_takes_only_the_messages_and_orders_that_the_model_read() -> None:
    early, late = MessageReceived(text="early"), MessageReceived(text="late")
    state = after(early, PauseOrdered(), late, ResumeOrdered(), planned("1.0", messages=1, orders=1))
    assert state.messages == (late,)
    assert state.journal == (ResumeOrdered(),)
    assert state.step == 1 and state.next_seq == 5


@pytest.mark.parametrize(
    ("then", "status", "rule"),
    [
        ("answer", "completed", "answered"),
        ("refused", "stopped", "model.refused"),
        ("context", "stopped", "model.context"),
    ],
)
def test_a_plan_without_a_next_step_ends_the_run(then: Any, status: str, rule: str) -> None:
    ending = after(Plan(next=then, next_seq=1)).ending
    assert ending and (ending.status, ending.rule) == (status, rule)


@pytest.mark.parametrize("then", ["calls", "again"])
def test_a_plan_with_a_next_step_does_not(then: Any) -> None:
    assert after(Plan(next=then, next_seq=1)).ending is None


def test_a_finished_call_counts_once() -> None:
    done = CallFinished(call_id="1.0")
    state = after(planned("1.0", "1.1"), done, done, CallFinished(call_id="9.9"))
    assert state.spent.tool_calls == 1
    assert [call.call_id for call in state.pending] == ["1.1"]


def test_mistakes_count_only_in_a_row() -> None:
    wrong, right = CallFinished(call_id="1.0", correctable=True), CallFinished(call_id="1.0")
    state = after(planned("1.0"), wrong, planned("1.0"), wrong)
    assert state.mistakes == 2
    assert after(planned("1.0"), right, state=state).mistakes == 0


def test_an_expired_approval_marks_its_call_until_the_call_is_finished() -> None:
    approval = OpenApproval(approval_id="ap", call_id="1.0", tool="send", about="call")
    state = after(planned("1.0"), ApprovalRequested(approval=approval), ApprovalExpired(approval_id="ap"))
    assert (state.approvals, state.expired, state.decided) == ((), ("1.0",), ("ap",))
    assert after(CallFinished(call_id="1.0"), state=state).expired == ()


@pytest.mark.parametrize(("answer", "halts"), [("accepted", True), ("not allowed", False), ("expired", False)])
def test_stop_halts_the_run_only_if_it_was_accepted(answer: Any, halts: bool) -> None:
    receipt = DecisionReceipt(approval_id="ap", answer=answer, closes=True)
    state = after(DecisionRecorded(receipt=receipt, verdict="stop", by="lee"))
    assert (state.halt is not None) is halts
    if halts:
        assert state.halt and state.halt.by == "lee" and state.journal == (state.halt,)


def test_a_decision_that_does_not_close_leaves_the_approval_open() -> None:
    approval = OpenApproval(approval_id="ap", call_id="1.0", tool="send", about="call")
    noted = DecisionNoted(decision=Decision(approval_id="ap", verdict="approve", by="lee"))
    receipt = DecisionReceipt(approval_id="ap", answer="not allowed")
    state = after(
        ApprovalRequested(approval=approval), noted, DecisionRecorded(receipt=receipt, verdict="approve", by="lee")
    )
    assert state.approvals == (approval,) and state.inbox == ()


def test_a_wait_that_ends_marks_its_call() -> None:
    state = after(WaitStarted(call_id="1.0", until=EPOCH))
    assert state.timer == OpenTimer(call_id="1.0", until=EPOCH)
    state = after(WaitEnded(), state=state)
    assert state.timer is None and state.woken == ("1.0",)
    assert after(WaitEnded(), state=state).woken == ("1.0",)


def test_time_counts_only_between_start_and_stop() -> None:
    state = after(ClockStarted(at=EPOCH), ClockStarted(at=EPOCH + timedelta(seconds=5)))
    assert active_seconds(state, EPOCH + timedelta(seconds=10)) == 10
    state = after(ClockStopped(at=EPOCH + timedelta(seconds=12)), state=state)
    assert active_seconds(state, EPOCH + timedelta(days=1)) == state.spent.seconds == 12


def test_a_clock_that_goes_back_gives_no_time_back() -> None:
    state = after(ClockStarted(at=EPOCH))
    assert active_seconds(state, EPOCH - timedelta(hours=1)) == 0
    assert after(ClockStopped(at=EPOCH - timedelta(hours=1)), state=state).spent.seconds == 0


def test_a_second_halt_does_not_replace_the_first() -> None:
    state = after(HaltOrdered(by="lee"), HaltOrdered(by="kim"), HaltOrdered(cancelled=True))
    assert state.halt == HaltOrdered(by="lee")


def test_resume_ends_a_pause_and_a_message_clears_the_memory_of_loops() -> None:
    state = after(planned("1.0"), CallFinished(call_id="1.0"), PauseOrdered(reason="lunch"))
    assert state.pause and state.loops.recent
    state = after(ResumeOrdered(), MessageReceived(text="go on"), RolledOver(), state=state)
    assert state.pause is None and state.loops.recent == () and state.rollovers == 1


def test_a_halt_is_told_before_a_pause_and_a_pause_before_an_approval() -> None:
    approval = OpenApproval(approval_id="ap", call_id="1.0", tool="send", about="call")
    state = after(ApprovalRequested(approval=approval))
    assert status_word(state) == "waiting"
    state = after(PauseOrdered(), state=state)
    assert status_word(state) == "paused"
    assert status_word(after(HaltOrdered(), state=state)) == "halting"


FLEET = HaltNotice(halt_id="halt-1", scope="fleet", by="lee", reason="enough")


def test_a_step_that_a_halt_cut_short_did_not_happen() -> None:
    before = after(MessageReceived(text="hello"))
    now = after(Plan(next="halted", next_seq=9, messages=1, halt=FLEET), state=before)
    assert now.pause == PauseOrdered(by="lee", reason="everything was halted by lee: enough", halt="halt-1")
    assert (now.step, now.next_seq, now.messages, now.spent) == (before.step, before.next_seq, before.messages, Spent())


def test_a_halt_of_the_run_itself_is_its_end() -> None:
    notice = FLEET.model_copy(update={"scope": "run", "target": "r"})
    now = after(Plan(next="halted", next_seq=9, halt=notice))
    assert now.halt == HaltOrdered(by="lee", reason="enough") and now.pause is None


def test_a_run_goes_on_once_the_halt_that_paused_it_is_lifted_and_not_before() -> None:
    paused = after(order_of(FLEET))
    assert after(ResumeOrdered(halt="halt-2"), state=paused).pause == paused.pause
    assert after(ResumeOrdered(halt="halt-1"), state=paused).pause is None
    assert after(ResumeOrdered(by="ana"), state=paused).pause is None  # by hand: the gateway will say no again


def test_a_persons_pause_outlasts_the_lifting_of_a_halt() -> None:
    state = after(PauseOrdered(by="ana"), order_of(FLEET), ResumeOrdered(halt="halt-1"))
    assert state.pause == PauseOrdered(by="ana")
    assert after(order_of(FLEET), PauseOrdered(by="ana"), ResumeOrdered(halt="halt-1")).pause is not None
