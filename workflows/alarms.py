"""How much of a run's budget is used: the notices at 70 and 90 percent, and the breach that ends or pauses it."""

from collections.abc import Iterator
from datetime import datetime
from types import MappingProxyType

from workflows.contracts.alarms import Alarm, BudgetBreached, BudgetMarked, BudgetName, CostAlarm
from workflows.contracts.budgets import Budget, micros_to_usd
from workflows.state import RunState, seconds_in_all, spent_in_all

PERCENTS = (90, 70)  # at the first the model can still change its plan, at the second it should finish
NAMES: tuple[BudgetName, ...] = ("usd", "tokens", "tool_calls", "minutes", "steps")
WORDS = MappingProxyType({"usd": "USD", "tool_calls": "tool calls", "minutes": "active minutes"})


def breach_of(state: RunState, now: datetime) -> BudgetBreached | None:
    """The budget that is used up, if one is. What sub-agents spent counts too."""
    if state.children:
        return None  # their share of the budget is reserved already; their results are still fetched
    budget, spent = _budget(state), spent_in_all(state)
    if 0 < budget.stop_usd_micros <= spent.usd_micros:
        times = f", {spent.usd_micros / max(budget.typical_usd_micros, 1):.0f} times what its runs cost"
        reason = f"{micros_to_usd(spent.usd_micros)} of {micros_to_usd(budget.stop_usd_micros)} USD used{times}"
        return breach("budget.typical", state, spent.usd_micros, reason)
    if state.pending and spent.tool_calls >= budget.tool_calls:
        return _used_up("tool_calls", state, spent.tool_calls)
    seconds = seconds_in_all(state, now)
    if seconds >= budget.minutes * 60:
        reason = f"{seconds / 60:.1f} of {budget.minutes} active minutes used"
        return breach("budget.minutes", state, int(seconds // 60), reason)
    if state.pending:
        return None  # these caps limit the next model call; results of calls already made are still fetched
    if state.step >= budget.steps:
        return _used_up("steps", state, state.step)
    if spent.tokens >= budget.tokens:
        return _used_up("tokens", state, spent.tokens)
    if spent.usd_micros and spent.usd_micros >= budget.usd_micros:
        return _used_up("usd", state, spent.usd_micros)
    return None


def breach(rule: str, state: RunState, used: int, reason: str) -> BudgetBreached:
    """A breach of one of the run's own budgets, with the command that lets the run go on."""
    cap = _budget(state).cap_of(rule)
    found = BudgetBreached(rule=rule, used=used, cap=cap, reason=reason)
    how = f"`{continue_with(state.run_id, found)}` lets it go on, `stanchion halt {state.run_id}` ends it"
    return found.having(told=f"{rule}: {reason}; {how}")


def continue_with(run_id: str, found: BudgetBreached) -> str:
    """The command that doubles the budget."""
    name = found.rule.removeprefix("budget.").replace("typical", "usd")
    more = found.cap or Budget().cap_of(f"budget.{name}")
    amount = micros_to_usd(more) if name == "usd" else str(more)
    return f"stanchion resume {run_id} --add-{name.replace('_', '-')} {amount}"


def used_of(rule: str, state: RunState, now: datetime) -> int:
    """How much of a budget is used, in its units; begun minutes do not count."""
    spent = spent_in_all(state)
    match rule:
        case "budget.tokens":
            return spent.tokens
        case "budget.tool_calls":
            return spent.tool_calls
        case "budget.steps":
            return state.step
        case "budget.minutes":
            return int(seconds_in_all(state, now) // 60)
        case _:
            return spent.usd_micros


def due_notices(state: RunState, now: datetime) -> tuple[Alarm, ...]:
    """The notices due before the next step: for each budget the highest mark reached, once."""
    return (*_marks(state, now), *_cost_alarm(state))


def keys_of(alarms: tuple[Alarm, ...]) -> tuple[str, ...]:
    """The keys to remember as told: a mark includes the lower ones."""
    marks = [alarm for alarm in alarms if isinstance(alarm, BudgetMarked)]
    below = [m.having(percent=p).key for m in marks for p in PERCENTS if p < m.percent]
    return (*(alarm.key for alarm in alarms), *below)


def note_on(alarm: Alarm) -> str | None:
    """The note for the model; None for a cost alarm, which only people see."""
    if not isinstance(alarm, BudgetMarked):
        return None
    what = f"{_in_words(alarm.budget, alarm.cap)} {_words(alarm.budget)}"
    ending = "Come to an end, and say what is left undone." if alarm.percent == PERCENTS[0] else "Plan what is left."
    return f"[note from the run itself] {alarm.percent} % of this run's {what} are used. {ending}"


def _marks(state: RunState, now: datetime) -> Iterator[BudgetMarked]:
    budget, spent, minutes = _budget(state), spent_in_all(state), seconds_in_all(state, now) / 60
    amounts = (spent.usd_micros, spent.tokens, spent.tool_calls, minutes, state.step)
    caps = (budget.usd_micros, budget.tokens, budget.tool_calls, budget.minutes, budget.steps)
    for name, used, cap in zip(NAMES, amounts, caps, strict=True):
        if not cap or used * 100 < PERCENTS[-1] * cap:
            continue  # the usual case, kept cheap
        reached = next(percent for percent in PERCENTS if used * 100 >= percent * cap)
        mark = BudgetMarked(budget=name, percent=reached, used=int(used), cap=cap)
        if mark.key not in state.told:
            yield mark


def _cost_alarm(state: RunState) -> Iterator[CostAlarm]:
    budget, used = _budget(state), spent_in_all(state).usd_micros
    if not 0 < budget.alarm_usd_micros <= used:
        return
    alarm = CostAlarm(used=used, typical=budget.typical_usd_micros, cap=budget.alarm_usd_micros)
    if alarm.key not in state.told:
        yield alarm


def _used_up(name: BudgetName, state: RunState, used: int) -> BudgetBreached:
    cap = _budget(state).cap_of(name)
    return breach(
        f"budget.{name}", state, used, f"{_in_words(name, used)} of {_in_words(name, cap)} {_words(name)} used"
    )


def _in_words(name: str, amount: int) -> str:
    return micros_to_usd(amount) if name == "usd" else str(amount)


def _words(name: str) -> str:
    return WORDS.get(name, name)


def _budget(state: RunState) -> Budget:
    assert state.opened is not None
    return state.opened.budget
