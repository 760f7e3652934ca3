"""The next move: calls keep the model's order, and only neighbouring reads run side by side."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.values import EPOCH
from workflows.contracts.approvals import Decision, OpenApproval
from workflows.contracts.budgets import Budget, Spent
from workflows.contracts.events import CallFinished, DecisionNoted
from workflows.contracts.model import PlannedCall
from workflows.contracts.runs import RunOpened
from workflows.next_move import AskModel, AwaitDecision, Perform, Record, Sleep, next_move
from workflows.state import OpenTimer, RunState
from workflows.transitions import apply

APPROVAL = OpenApproval(approval_id="ap", call_id="1.0", tool="send", about="call")
NOTED = DecisionNoted(decision=Decision(approval_id="ap", verdict="approve", by="lee"))
TIMER = OpenTimer(call_id="1.0", until=EPOCH)


def calls(*parallel: bool) -> tuple[PlannedCall, ...]:
    """Planned calls, each a read or not."""
    return tuple(
        PlannedCall(call_id=f"1.{n}", seq=n, tool="t", digest=str(n), parallel=p) for n, p in enumerate(parallel)
    )


def run(pending: tuple[PlannedCall, ...], tool_calls: int = 1_000, used: int = 0) -> RunState:
    """An open run with these calls to do."""
    opened = RunOpened(
        agent_version="v", policy_version="p", mode="tiered", budget=Budget(tool_calls=tool_calls), next_seq=1
    )
    return RunState(opened=opened, pending=pending, spent=Spent(tool_calls=used))


def groups(state: RunState) -> list[tuple[PlannedCall, ...]]:
    """The calls as they are performed, turn by turn."""
    turns = []
    while isinstance(move := next_move(state), Perform):
        turns.append(move.calls)
        for call in move.calls:
            state = apply(state, CallFinished(call_id=call.call_id))
    return turns


def test_what_is_noted_goes_before_what_is_awaited_and_that_before_work() -> None:
    state = RunState(inbox=(NOTED,), approvals=(APPROVAL,), timer=TIMER, pending=calls(True))
    assert next_move(state) == Record()
    state = state.model_copy(update={"inbox": ()})
    assert next_move(state) == AwaitDecision(approval=APPROVAL)
    state = state.model_copy(update={"approvals": ()})
    assert next_move(state) == Sleep(timer=TIMER)
    state = state.model_copy(update={"timer": None})
    assert next_move(state) == Perform(calls=state.pending)
    assert next_move(RunState()) == AskModel()


@settings(max_examples=30)
@given(parallel=st.lists(st.booleans(), max_size=12), tool_calls=st.integers(1, 15))
def test_every_call_is_performed_once_and_in_order(parallel: list[bool], tool_calls: int) -> None:
    pending = calls(*parallel)
    turns = groups(run(pending, tool_calls))
    assert [call for turn in turns for call in turn] == list(pending)


@settings(max_examples=30)
@given(parallel=st.lists(st.booleans(), max_size=12))
def test_an_effect_is_always_alone_and_reads_run_with_all_their_neighbours(parallel: list[bool]) -> None:
    turns = groups(run(calls(*parallel)))
    for turn in turns:
        assert len(turn) == 1 or all(call.parallel for call in turn)
    reads = [all(call.parallel for call in turn) for turn in turns]
    assert (True, True) not in set(pairwise(reads))  # two turns of reads would be one


@given(reads=st.integers(1, 10), tool_calls=st.integers(0, 12), used=st.integers(0, 12))
def test_no_more_reads_at_once_than_the_budget_still_allows(reads: int, tool_calls: int, used: int) -> None:
    move = next_move(run(calls(*[True] * reads), tool_calls, used))
    assert isinstance(move, Perform)
    assert 1 <= len(move.calls) <= max(tool_calls - used, 1)
