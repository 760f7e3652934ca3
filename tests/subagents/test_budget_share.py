"""What a sub-agent gets of a budget: whatever is asked and left, never more than there is. Pure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.ledger.budget_share import BudgetShare, allowed_budget, share_budget
from activities.ledger.caps import UNITS, budget_rules
from activities.ledger.windows import CapReached, Spender
from workflows.contracts.budgets import Budget, BudgetRequest

BOSS = Budget(usd_micros=1_000_000, tokens=10_000, tool_calls=20, minutes=30)
SMALL = st.integers(0, 50)


def purse_of(budget: Budget, used: dict[tuple[str, str], int] | None = None, seconds: float = 0) -> BudgetShare:
    return BudgetShare.of(Spender("agent/boss/1", "boss", "acme"), budget_rules(budget), used or {}, seconds)


def test_half_of_what_is_left_if_nothing_is_asked_for() -> None:
    purse = purse_of(BOSS, {("micro-usd", "*"): 400_000, ("calls", "*"): 5}, seconds=601)
    got = share_budget(purse, Budget(usd_micros=10**9, tokens=10**9, tool_calls=100, minutes=100), BudgetRequest())
    assert (got.usd_micros, got.tokens, got.tool_calls, got.minutes) == (300_000, 5_000, 7, 9)


def test_never_more_than_the_agents_own_budget_nor_than_its_task_may_use() -> None:
    allowed = allowed_budget(Budget(usd_micros=50_000, tokens=900), BudgetRequest(usd="0.02", tool_calls=3))
    got = share_budget(purse_of(BOSS), allowed, BudgetRequest(usd="0.90"))
    assert (got.usd_micros, got.tokens, got.tool_calls) == (20_000, 900, 3)


@pytest.mark.parametrize(
    ("used", "seconds", "asked", "rule"),
    [
        ({("micro-usd", "*"): 700_000}, 0, {"usd": "0.50"}, "budget.usd"),
        ({("tokens", "*"): 10_000}, 0, {}, "budget.tokens"),
        ({("calls", "*"): 18}, 0, {"tool_calls": 3}, "budget.tool_calls"),
        ({("minutes", "tool:delegate"): 20}, 600, {"minutes": 1}, "budget.minutes"),
        ({}, 30 * 60, {}, "budget.minutes"),
    ],
)
def test_more_than_is_left_is_refused_with_what_is_left(
    used: dict[tuple[str, str], int], seconds: float, asked: dict[str, Any], rule: str
) -> None:
    wide = Budget(usd_micros=10**9, tokens=10**9, tool_calls=10**6, minutes=10**6)
    with pytest.raises(CapReached) as refusal:
        share_budget(purse_of(BOSS, used, seconds), wide, BudgetRequest(**asked))
    assert refusal.value.rule == rule


@given(
    own=st.builds(Budget, usd_micros=SMALL, tokens=SMALL, tool_calls=SMALL, minutes=SMALL),
    allowed=st.builds(Budget, usd_micros=SMALL, tokens=SMALL, tool_calls=SMALL, minutes=SMALL),
    asked=st.builds(BudgetRequest, tokens=st.none() | SMALL, tool_calls=st.none() | SMALL, minutes=st.none() | SMALL),
    used=st.fixed_dictionaries({(unit, "*"): SMALL for unit in ("micro-usd", "tokens", "calls")}),
    seconds=st.floats(0, 3_000),
)
def test_what_is_carved_fits_into_what_is_left_of_every_unit(
    own: Budget, allowed: Budget, asked: BudgetRequest, used: dict[tuple[str, str], int], seconds: float
) -> None:
    purse = purse_of(own, used, seconds)
    try:
        got = share_budget(purse, allowed, asked)
    except CapReached:
        return
    for name, unit in UNITS.items():
        assert 0 <= getattr(got, name) <= min(purse.left(unit), getattr(allowed, name))
    for window in purse.windows_for_budget(got, seconds):
        assert window.scope == "run" and window.key == "agent/boss/1"
        assert used.get((window.unit, window.call_class), 0) + window.amount <= window.cap
