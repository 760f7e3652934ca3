"""What is told of budgets, and what ends or pauses a run: at its number, once, and never because a signal says so."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.exceptions import ActivityError, ApplicationError, RetryState, TimeoutError, TimeoutType

from activities.budgets.typical_cost import FLOOR, AlarmFactors, with_alarms
from activities.ledger.caps import budget_rules
from tests.harness.values import EPOCH, contract, instants
from workflows.alarms import NAMES, PERCENTS, breach_of, due_notices, keys_of, note_on
from workflows.contracts.alarms import OWN_RULES, AlarmsTold, BudgetBreached, BudgetMarked, BudgetWeighed, CostAlarm
from workflows.contracts.budgets import Budget, Spent
from workflows.contracts.events import StepEvent
from workflows.contracts.messages import PauseOrdered, ResumeOrdered
from workflows.contracts.model import PlannedCall
from workflows.contracts.runs import RunOpened
from workflows.display import details
from workflows.endings import BUDGET_REACHED, breach_in
from workflows.governance import AssessBreach, Go, Pause, Stop, govern
from workflows.state import RunState
from workflows.transitions import apply

BUDGET = Budget(usd_micros=1_000, tokens=100, tool_calls=10, minutes=10, steps=10)
CALL = PlannedCall(call_id="1.0", seq=2, tool="look", digest="d")
SHORT: dict[str, dict[str, Any]] = {
    "usd": {"spent": Spent(usd_micros=1_000)},
    "tokens": {"spent": Spent(tokens=100)},
    "tool_calls": {"spent": Spent(tool_calls=10), "pending": (CALL,)},
    "minutes": {"spent": Spent(seconds=600)},
    "steps": {"step": 10},
}


def run(budget: Budget = BUDGET, on_budget: Any = "pause", **state: Any) -> RunState:
    """An open run that may pause."""
    opened = RunOpened(
        agent_version="v", policy_version="p", mode="tiered", budget=budget, next_seq=1, on_budget=on_budget
    )
    return RunState(run_id="agent/a/r", opened=opened, **state)


def weighed(state: RunState, budget: Budget) -> RunState:
    """The state after its budget was looked up."""
    verdict = govern(state, EPOCH)
    assert isinstance(verdict, AssessBreach)
    return apply(state, BudgetWeighed(breach=verdict.breach, budget=budget))


# ── the breach ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", SHORT)
def test_a_budget_that_is_used_up_is_weighed_and_pauses_the_run_with_the_command_that_continues_it(name: str) -> None:
    state = weighed(run(**SHORT[name]), BUDGET)
    verdict = govern(state, EPOCH)
    assert isinstance(verdict, Pause)
    command = f"stanchion resume agent/a/r --add-{name.replace('_', '-')} "
    assert verdict.reason.startswith(f"budget.{name}: ") and f"`{command}" in verdict.reason
    assert command in details(state)
    assert [order.reason for order in state.journal] == [verdict.reason]


@pytest.mark.parametrize("name", SHORT)
def test_a_run_that_may_not_pause_or_was_opened_before_runs_could_stops(name: str) -> None:
    written = {"agent_version": "v", "policy_version": "p", "mode": "tiered", "budget": BUDGET.model_dump()}
    before = RunOpened.model_validate({**written, "next_seq": 1})
    for state in (run(on_budget="stop", **SHORT[name]), RunState(run_id="r", opened=before, **SHORT[name])):
        verdict = govern(state, EPOCH)
        assert isinstance(verdict, Stop) and verdict.ending.rule == f"budget.{name}"


@pytest.mark.parametrize("name", SHORT)
def test_let_go_on_it_is_weighed_again_whatever_the_order_says(name: str) -> None:
    paused = weighed(run(**SHORT[name]), BUDGET)
    for order in (ResumeOrdered(), ResumeOrdered(by="lee", grant="grant-1")):
        resumed = apply(paused, order)
        assert isinstance(govern(resumed, EPOCH), AssessBreach)
        assert govern(weighed(resumed, BUDGET), EPOCH) == govern(paused, EPOCH)
    more = BUDGET.model_copy(update={{"usd": "usd_micros"}.get(name, name): 5_000})
    assert govern(weighed(apply(paused, ResumeOrdered()), more), EPOCH) == Go()


def test_what_was_added_to_another_budget_does_not_help() -> None:
    state = weighed(run(**SHORT["tokens"]), BUDGET.model_copy(update={"usd_micros": 10**9}))
    assert isinstance(govern(state, EPOCH), Pause)


def test_a_person_who_paused_it_is_not_overruled_by_its_budget() -> None:
    paused = PauseOrdered(reason="lunch")
    assert govern(run(pause=paused, **SHORT["tokens"]), EPOCH) == Pause(reason="lunch")


STOP = BUDGET.model_copy(update={"usd_micros": 10**9, "typical_usd_micros": 10, "stop_usd_micros": 500})


@pytest.mark.parametrize("pending", [(), (CALL,)])
def test_a_run_that_costs_far_more_than_its_kind_begins_no_model_call_and_no_tool_call(pending: Any) -> None:
    assert breach_of(run(STOP, spent=Spent(usd_micros=499), pending=pending), EPOCH) is None
    breach = breach_of(run(STOP, spent=Spent(usd_micros=500), pending=pending), EPOCH)
    assert breach and breach.rule == "budget.typical" and "50 times what its runs cost" in breach.reason
    assert "--add-usd 0.0005`" in breach.told


def test_the_ledger_reserves_no_more_for_a_run_than_many_times_what_its_kind_costs() -> None:
    caps = {rule.refusal: rule.cap for rule in budget_rules(STOP) if rule.unit == "micro-usd"}
    assert caps == {"budget.typical": 500, "budget.usd": 10**9}
    assert "budget.typical" not in {rule.refusal for rule in budget_rules(BUDGET)}


@settings(max_examples=50)
@given(state=contract(RunState), opened=contract(RunOpened), now=instants, more=contract(Budget))
def test_no_interleaving_of_weighing_and_resuming_lets_a_run_past_a_budget(
    state: RunState, opened: RunOpened, now: Any, more: Budget
) -> None:
    state = state.model_copy(update={"opened": opened.model_copy(update={"on_budget": "pause"})})
    for budget in (opened.budget, more, more):
        verdict = govern(state, now)
        if isinstance(verdict, AssessBreach):
            state = apply(state, BudgetWeighed(breach=verdict.breach, budget=budget))
        state = apply(state, ResumeOrdered())
        if isinstance(govern(state, now), Go):
            assert state.breach is None and breach_of(state, now) is None


# ── a model call that failed for it ─────────────────────────────────────────────────────────────────────────────────


def failed(cause: BaseException) -> ActivityError:
    """A model call that failed for good."""
    error = ActivityError("x", scheduled_event_id=1, started_event_id=2, identity="", activity_type="model.plan",
                          activity_id="1", retry_state=RetryState.TIMEOUT)  # fmt: skip
    error.__cause__ = cause
    return error


def reached(rule: str) -> ApplicationError:
    return ApplicationError("3 of 1000 are left", rule, type=BUDGET_REACHED, non_retryable=True)


@pytest.mark.parametrize("rule", sorted(OWN_RULES))
def test_a_model_call_without_room_in_a_budget_of_the_runs_own_is_a_breach(rule: str) -> None:
    breach = breach_in(failed(reached(rule)), run(STOP, step=4), EPOCH)
    assert breach and (breach.rule, breach.cap) == (rule, STOP.cap_of(rule))
    assert breach.reason == "3 of 1000 are left" and "`stanchion resume agent/a/r --add-" in breach.told


def test_a_model_call_that_ran_out_of_the_runs_minutes_is_a_breach() -> None:
    late = TimeoutError("x", type=TimeoutType.SCHEDULE_TO_CLOSE, last_heartbeat_details=[])
    breach = breach_in(failed(late), run(), EPOCH)
    assert breach and (breach.rule, breach.cap) == ("budget.minutes", 10)


@pytest.mark.parametrize(
    "cause",
    [reached("budget.micro-usd.tenant.day"), reached("budget.contended"), ApplicationError("no", type="RunNotOpen")],
)
def test_any_other_failure_ends_the_run_as_before(cause: Any) -> None:
    assert breach_in(failed(cause), run(), EPOCH) is None


# ── marks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(used=st.integers(0, 200), cap=st.integers(1, 100))
def test_a_mark_is_told_from_its_percent_on_and_not_before(used: int, cap: int) -> None:
    state = run(BUDGET.model_copy(update={"tokens": cap}), spent=Spent(tokens=used))
    wanted = next((percent for percent in PERCENTS if used * 100 >= percent * cap), None)
    assert [alarm.percent for alarm in due_notices(state, EPOCH) if isinstance(alarm, BudgetMarked)] == [wanted] * bool(
        wanted
    )


@given(steps=st.lists(st.integers(0, 30), max_size=12))
def test_each_mark_is_told_once_however_a_run_spends(steps: list[int]) -> None:
    state, told = run(), list[str]()
    for tokens in steps:
        spent = state.spent.model_copy(update={"tokens": state.spent.tokens + tokens})
        state = state.model_copy(update={"spent": spent})
        alarms = due_notices(state, EPOCH)
        told += [alarm.key for alarm in alarms]
        state = apply(state, AlarmsTold(keys=keys_of(alarms)))
        assert due_notices(state, EPOCH) == ()
    used = sum(steps)
    assert len(told) == len(set(told)) <= 2
    assert ("tokens:90:100" in told) == (used >= 90) and (bool(told)) == (used >= 70)


def test_active_time_that_is_running_counts_and_a_budget_of_nothing_has_no_marks() -> None:
    state = run(active_since=EPOCH)
    assert due_notices(state, EPOCH + timedelta(minutes=6.9)) == ()
    [mark] = due_notices(state, EPOCH + timedelta(minutes=7.1))
    assert (mark.key, mark.used) == ("minutes:70:10", 7)
    nothing = Budget(usd_micros=0, tokens=0, tool_calls=0, minutes=0, steps=0)
    assert due_notices(run(nothing, spent=Spent(usd_micros=5, tokens=5, seconds=9)), EPOCH) == ()


def test_of_a_budget_that_was_raised_it_is_told_anew_and_of_no_other() -> None:
    state = run(spent=Spent(tokens=75, tool_calls=7, usd_micros=5))
    state = apply(state, AlarmsTold(keys=(*keys_of(due_notices(state, EPOCH)), "cost")))
    assert set(state.told) == {"tokens:70:100", "tool_calls:70:10", "cost"}
    breach = BudgetBreached(rule="budget.tokens", used=100, cap=100, reason="")
    state = apply(state, BudgetWeighed(breach=breach, budget=BUDGET.model_copy(update={"tokens": 105})))
    assert set(state.told) == {"tool_calls:70:10", "cost"}
    assert [alarm.key for alarm in due_notices(state, EPOCH)] == ["tokens:70:105"]


@given(alarm=contract(BudgetMarked))
def test_a_note_names_the_budget_and_the_cost_alarm_is_none_of_the_models_business(alarm: BudgetMarked) -> None:
    note = note_on(alarm)
    assert note and note.startswith("[note from the run itself] ") and f"{alarm.percent} %" in note
    assert note_on(CostAlarm(used=1, typical=1, cap=1)) is None


def test_the_cost_alarm_is_told_once_from_its_number_on() -> None:
    budget = BUDGET.model_copy(update={"usd_micros": 10**9, "alarm_usd_micros": 100, "typical_usd_micros": 10})
    assert due_notices(run(budget, spent=Spent(usd_micros=99)), EPOCH) == ()
    state = run(budget, spent=Spent(usd_micros=100))
    assert due_notices(state, EPOCH) == (CostAlarm(used=100, typical=10, cap=100),)
    assert due_notices(apply(state, AlarmsTold(keys=("cost",))), EPOCH) == ()


# ── typical cost ────────────────────────────────────────────────────────────────────────────────────────────────────


@given(typical=st.none() | st.integers(0, 10**12), warn=st.integers(1, 100), more=st.integers(0, 100))
def test_alarms_stand_at_their_multiples_and_an_agent_that_costs_nothing_has_a_floor(
    typical: int | None, warn: int, more: int
) -> None:
    budget = with_alarms(BUDGET, typical, AlarmFactors(warn, warn + more))
    if typical is None:
        assert budget == BUDGET
        return
    assert FLOOR <= budget.typical_usd_micros == max(typical, FLOOR)
    assert budget.alarm_usd_micros == warn * budget.typical_usd_micros <= budget.stop_usd_micros


def test_every_budget_has_a_cap_and_every_rule_a_budget() -> None:
    assert {f"budget.{name}" for name in NAMES} | {"budget.typical"} == OWN_RULES
    assert all(BUDGET.cap_of(rule) >= 0 for rule in OWN_RULES) and BUDGET.cap_of("budget.nonsense") == 0
    assert {BudgetMarked, CostAlarm, BudgetBreached} <= set(StepEvent.__origin__.__args__)  # type: ignore[attr-defined]


def test_a_breach_that_the_model_call_found_is_weighed_though_the_run_itself_sees_room_left() -> None:
    state = run(spent=Spent(usd_micros=900))
    assert govern(state, EPOCH) == Go()
    breach = breach_in(failed(reached("budget.usd")), state, EPOCH)
    assert breach
    state = apply(state, breach)
    assert govern(state, EPOCH) == AssessBreach(breach)
    assert isinstance(govern(weighed(state, BUDGET), EPOCH), Pause)
    assert govern(weighed(state, BUDGET.model_copy(update={"usd_micros": 1_001})), EPOCH) == Go()
