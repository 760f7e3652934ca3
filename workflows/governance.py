"""Limits on steps, money, tokens, calls, active time and loops: (state, now) -> Verdict. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from workflows.alarms import breach_of
from workflows.alarms import note_on as note_on_alarm
from workflows.contracts.alarms import Alarm, BudgetBreached
from workflows.contracts.budgets import Budget
from workflows.contracts.calls import Refusal
from workflows.contracts.messages import PauseOrdered
from workflows.contracts.model import PlannedCall
from workflows.contracts.runs import CloseRequest, Ending
from workflows.delegation import DELEGATE_TOOL
from workflows.loop_notes import note_on, pause_on, refusal_on
from workflows.state import RunState, active_seconds, seconds_in_all

MISTAKES_BEFORE_STOP = 5  # these three are for `stopped_before_pauses` only
REPEATS_BEFORE_STOP = 6
REPEATS_WINDOW = 16


@dataclass(frozen=True)
class Go:
    """The run may make its next move."""


@dataclass(frozen=True)
class Pause:
    """The run is paused until somebody resumes it."""

    reason: str


@dataclass(frozen=True)
class Intervene:
    """The run has to be paused, because it is in a loop."""

    order: PauseOrdered


@dataclass(frozen=True)
class Stop:
    """The run ends here."""

    ending: Ending


@dataclass(frozen=True)
class AssessBreach:
    """A budget is used up, as far as the run knows. Check whether somebody added to it; if not, pause."""

    breach: BudgetBreached


Verdict = Go | Pause | Intervene | AssessBreach | Stop


def govern(state: RunState, now: datetime, loops_pause: Callable[[], bool] = lambda: True) -> Verdict:
    """What the limits allow before the next move. Order: a person's halt, an ending, a budget, a loop, a pause.

    `loops_pause` is called only where it matters: it says whether a run in a loop pauses, or stops as it did before.
    """
    if state.halt:
        return Stop(ending=_halted(state))
    if state.ending:
        return Stop(ending=state.ending)
    if over := _over_budget(state, now):
        return over
    if looping := _looping(state, loops_pause):
        return looping
    if state.pause:
        return Pause(reason=state.pause.reason or "paused")
    return Go()


def _over_budget(state: RunState, now: datetime) -> AssessBreach | Stop | None:
    assert state.opened is not None
    pauses = state.opened.on_budget == "pause"
    if pauses and state.pause:
        return None  # a paused run begins nothing; its budget is checked again after `resume`
    breach = (state.breach if pauses else None) or breach_of(state, now)
    if breach is None:
        return None
    if pauses:
        return AssessBreach(breach)
    return Stop(ending=Ending(status="stopped", rule=breach.rule, reason=breach.reason))


def _looping(state: RunState, loops_pause: Callable[[], bool]) -> Intervene | Stop | None:
    stuck = state.loops.stuck if state.pause is None else None
    before = stopped_before_pauses(state)
    if stuck is None and before is None:
        return None
    if not loops_pause():
        return Stop(ending=before) if before else None
    return Intervene(order=PauseOrdered(reason=pause_on(stuck))) if stuck else None


def final_ending(state: RunState) -> Ending:
    """The ending of a run that is over. A person's halt takes precedence over the run's own ending."""
    if state.halt:
        return _halted(state)
    if state.ending is None:
        raise RuntimeError("the loop ended without an ending")
    return state.ending


def closing(state: RunState, now: datetime) -> CloseRequest:
    """The request that stores the end of the run."""
    return CloseRequest(
        run_id=state.run_id,
        ending=final_ending(state),
        steps=state.step,
        spent=state.spent.having(seconds=active_seconds(state, now)),
        delegated=state.delegated,
        journal=state.journal,
    )


def refusal_of(state: RunState, call: PlannedCall) -> Refusal | None:
    """Why the loop refuses this call, or None. It can only make the gateway's decision stricter."""
    if call.call_id in state.expired:
        return Refusal(rule="approval.expired", reason="nobody approved this call in time; it was not performed")
    together = tuple(other for other in state.pending if other.seq < call.seq)
    if evidence := state.loops.against(call, together):
        return Refusal(rule=f"loop.{evidence.rule}", reason=refusal_on(evidence))
    return None


def notes_for(state: RunState, alarms: tuple[Alarm, ...] = ()) -> tuple[str, ...]:
    """The notes that the model reads before its next step."""
    return (*map(note_on, state.loops.due), *filter(None, map(note_on_alarm, alarms)))


def time_left(state: RunState, now: datetime) -> timedelta:
    """Active time the budget still holds; never below a second, because Temporal takes zero for 'no limit'."""
    left = _budget(state).minutes * 60 - seconds_in_all(state, now)
    return timedelta(seconds=max(left, 1.0))


def used_for(state: RunState, call: PlannedCall, now: datetime) -> float:
    """The active time that the gateway is told. Only a call that delegates needs it, to share what is left."""
    return active_seconds(state, now) if call.tool == DELEGATE_TOOL else 0.0


def _budget(state: RunState) -> Budget:
    assert state.opened is not None
    return state.opened.budget


def stopped_before_pauses(state: RunState) -> Ending | None:
    """The ending of a run in a loop, as it was before `patches.loops_pause`. Old histories need it to replay."""
    if state.mistakes >= MISTAKES_BEFORE_STOP:
        return Ending(status="stopped", rule="loop.mistakes", reason=f"{state.mistakes} calls in a row were not valid")
    worst = state.loops.most_repeated(REPEATS_WINDOW)
    if worst >= REPEATS_BEFORE_STOP:
        return Ending(
            status="stopped", rule="loop.repeated-call", reason=f"the same call {worst} times, though refused"
        )
    return None


def _halted(state: RunState) -> Ending:
    assert state.halt is not None
    by = f"by {state.halt.by}" if state.halt.by else ""
    reason = ": ".join(part for part in (by, state.halt.reason or "") if part)
    if state.halt.cancelled:
        return Ending(status="cancelled", rule="cancelled", reason=reason)
    return Ending(status="stopped", rule="halted", reason=reason)
