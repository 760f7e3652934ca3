"""Limits: each cap stops the run at its number and not before; a person's halt comes before all of them."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from tests.harness.values import EPOCH, contract, instants
from workflows.contracts.budgets import Budget, Spent
from workflows.contracts.events import CallFinished
from workflows.contracts.messages import HaltOrdered, PauseOrdered
from workflows.contracts.model import PlannedCall
from workflows.contracts.runs import Ending, RunOpened
from workflows.display import details
from workflows.governance import (
    MISTAKES_BEFORE_STOP,
    REPEATS_BEFORE_STOP,
    AssessBreach,
    Go,
    Intervene,
    Pause,
    Stop,
    Verdict,
    final_ending,
    govern,
    refusal_of,
    time_left,
)
from workflows.loops import Evidence, LoopMemory
from workflows.state import RunState

BUDGET = Budget(usd_micros=1_000, tokens=100, tool_calls=5, minutes=2, steps=3)
CALL = PlannedCall(call_id="1.0", seq=2, tool="look", digest="d")


def run(budget: Budget = BUDGET, **state: Any) -> RunState:
    """An open run."""
    opened = RunOpened(agent_version="v", policy_version="p", mode="tiered", budget=budget, next_seq=1)
    return RunState(run_id="r", opened=opened, **state)


def rule_of(state: RunState, now: datetime = EPOCH) -> str | None:
    """The rule that stops the run, or None."""
    verdict = govern(state, now)
    return verdict.ending.rule if isinstance(verdict, Stop) else None


def test_a_fresh_run_may_go_on() -> None:
    assert govern(run(), EPOCH) == Go()


@pytest.mark.parametrize(
    ("cap", "under", "at"),
    [
        ("steps", {"step": 2}, {"step": 3}),
        ("tokens", {"spent": Spent(tokens=99)}, {"spent": Spent(tokens=100)}),
        ("usd", {"spent": Spent(usd_micros=999)}, {"spent": Spent(usd_micros=1_000)}),
        ("minutes", {"spent": Spent(seconds=119.9)}, {"spent": Spent(seconds=120)}),
        (
            "tool_calls",
            {"spent": Spent(tool_calls=4), "pending": (CALL,)},
            {"spent": Spent(tool_calls=5), "pending": (CALL,)},
        ),
    ],
)
def test_a_cap_stops_the_run_at_its_number_and_not_before(cap: str, under: Any, at: Any) -> None:
    assert rule_of(run(**under)) is None
    assert rule_of(run(**at)) == f"budget.{cap}"


def test_active_time_that_is_running_counts() -> None:
    state = run(active_since=EPOCH)
    assert rule_of(state, EPOCH + timedelta(seconds=119)) is None
    assert rule_of(state, EPOCH + timedelta(seconds=120)) == "budget.minutes"


def test_time_spent_waiting_is_free() -> None:
    assert rule_of(run(spent=Spent(seconds=60)), EPOCH + timedelta(days=30)) is None


@pytest.mark.parametrize("spent", [{"step": 3}, {"spent": Spent(tokens=100)}, {"spent": Spent(usd_micros=1_000)}])
def test_results_that_are_owed_are_still_fetched(spent: Any) -> None:
    assert rule_of(run(pending=(CALL,), **spent)) is None


def test_a_spent_tool_budget_leaves_the_model_its_last_word() -> None:
    assert rule_of(run(spent=Spent(tool_calls=5))) is None


def test_a_model_that_costs_nothing_runs_on_a_budget_of_nothing() -> None:
    assert rule_of(run(Budget(usd_micros=0))) is None
    assert rule_of(run(Budget(usd_micros=0), spent=Spent(usd_micros=1))) == "budget.usd"


@pytest.mark.parametrize("cap", ["tokens", "minutes", "steps"])
def test_a_cap_of_nothing_allows_nothing(cap: str) -> None:
    assert rule_of(run(Budget.model_validate({cap: 0}))) == f"budget.{cap}"


STUCK = LoopMemory(stuck=Evidence(rule="repeated-call", tool="look", count=6))


def repeated(times: int) -> LoopMemory:
    """The memory of one call made so often."""
    memory = LoopMemory()
    for _ in range(times):
        memory = memory.after(CALL, CallFinished(call_id="1.0")).heard()
    return memory


def test_a_run_that_is_stuck_is_paused_with_the_evidence_and_not_stopped() -> None:
    verdict = govern(run(loops=STUCK), EPOCH)
    assert isinstance(verdict, Intervene)
    assert str(verdict.order.reason).startswith("loop.repeated-call: This is the same look call for the sixth time")
    assert govern(run(loops=STUCK, pause=verdict.order), EPOCH) == Pause(reason=str(verdict.order.reason))


def test_who_looks_at_a_paused_run_is_told_why() -> None:
    assert "paused (loop.cycle: five): `stanchion resume r`" in details(
        run(pause=PauseOrdered(reason="loop.cycle: five"))
    )
    assert "paused: `stanchion resume r`" in details(run(pause=PauseOrdered()))


def test_a_spent_budget_stops_a_run_that_is_stuck() -> None:
    assert rule_of(run(loops=STUCK, spent=Spent(tokens=100))) == "budget.tokens"


def test_a_run_of_the_days_before_pauses_ends_as_it_did_then() -> None:
    def then(state: RunState) -> Any:
        verdict = govern(state, EPOCH, lambda: False)
        return verdict.ending.rule if isinstance(verdict, Stop) else verdict

    assert then(run(mistakes=MISTAKES_BEFORE_STOP - 1)) == Go()
    assert then(run(mistakes=MISTAKES_BEFORE_STOP)) == "loop.mistakes"
    assert then(run(loops=repeated(REPEATS_BEFORE_STOP - 1))) == Go()
    assert then(run(loops=repeated(REPEATS_BEFORE_STOP))) == "loop.repeated-call"
    assert then(run(loops=STUCK)) == Go()


def test_whether_a_run_pauses_is_asked_only_where_it_matters() -> None:
    asked: list[bool] = []
    govern(run(loops=repeated(5), mistakes=4), EPOCH, lambda: bool(asked.append(True)))
    assert asked == []
    assert govern(run(mistakes=MISTAKES_BEFORE_STOP), EPOCH) == Go()


def test_a_halt_comes_before_everything() -> None:
    state = run(
        halt=HaltOrdered(by="lee", reason="enough"),
        ending=Ending(status="completed", rule="answered"),
        spent=Spent(tokens=100),
        pause=PauseOrdered(),
        mistakes=MISTAKES_BEFORE_STOP,
    )
    verdict = govern(state, EPOCH)
    assert isinstance(verdict, Stop)
    assert (verdict.ending.status, verdict.ending.rule) == ("stopped", "halted")
    assert verdict.ending.reason == "by lee: enough"
    assert final_ending(state) == verdict.ending


def test_a_cancel_is_told_from_a_halt() -> None:
    ending = final_ending(run(halt=HaltOrdered(cancelled=True)))
    assert (ending.status, ending.rule, ending.reason) == ("cancelled", "cancelled", "")


def test_an_ending_comes_before_a_cap_and_a_cap_before_a_pause() -> None:
    answered = Ending(status="completed", rule="answered")
    assert rule_of(run(ending=answered, spent=Spent(tokens=100))) == "answered"
    assert rule_of(run(pause=PauseOrdered(), spent=Spent(tokens=100))) == "budget.tokens"


def test_a_paused_run_waits_with_the_reason() -> None:
    assert govern(run(pause=PauseOrdered(reason="lunch")), EPOCH) == Pause(reason="lunch")
    assert govern(run(pause=PauseOrdered()), EPOCH) == Pause(reason="paused")


def test_a_loop_without_an_ending_is_a_bug_and_says_so() -> None:
    with pytest.raises(RuntimeError, match="without an ending"):
        final_ending(run())


def test_a_run_that_may_pause_has_its_spent_budget_weighed_unless_it_is_paused_already() -> None:
    def spent(on_budget: str, **state: Any) -> Any:
        opened = run().opened.model_copy(update={"on_budget": on_budget})
        return govern(run(spent=Spent(tokens=100)).model_copy(update={"opened": opened, **state}), EPOCH)

    assert isinstance(spent("pause"), AssessBreach) and spent("pause").breach.rule == "budget.tokens"
    assert isinstance(spent("stop"), Stop)
    assert isinstance(spent("pause", pause=PauseOrdered()), Pause)


@settings(max_examples=30)
@given(state=contract(RunState), opened=contract(RunOpened), now=instants)
def test_every_open_run_gets_a_verdict_and_at_least_a_second(state: RunState, opened: RunOpened, now: datetime) -> None:
    state = state.model_copy(update={"opened": opened})
    verdict = govern(state, now)
    assert isinstance(verdict, Verdict)
    assert (state.halt is None) or isinstance(verdict, Stop)
    assert not isinstance(verdict, AssessBreach) or (opened.on_budget == "pause" and state.pause is None)
    assert time_left(state, now) >= timedelta(seconds=1)


def test_the_time_that_is_left_is_what_was_not_used() -> None:
    assert time_left(run(spent=Spent(seconds=30)), EPOCH) == timedelta(seconds=90)
    assert time_left(run(spent=Spent(seconds=500)), EPOCH) == timedelta(seconds=1)


def test_the_third_identical_call_is_refused_and_others_are_not() -> None:
    assert refusal_of(run(loops=repeated(1)), CALL) is None
    state = run(loops=repeated(2))
    refusal = refusal_of(state, CALL)
    assert refusal and refusal.rule == "loop.repeated-call" and "`wait`" in refusal.reason
    assert refusal_of(state, CALL.model_copy(update={"digest": "other"})) is None
    assert refusal_of(state, CALL.model_copy(update={"tool": "other"})) is None


def test_a_call_whose_approval_expired_is_refused() -> None:
    refusal = refusal_of(run(expired=("1.0",)), CALL)
    assert refusal and refusal.rule == "approval.expired"
    assert refusal_of(run(expired=("1.1",)), CALL) is None
