"""Delegation: each cap refuses at its number and not before, and nothing makes the caps wider."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.values import contract
from workflows.delegation import DelegationCaps, may_delegate

CAPS = DelegationCaps(depth=2, width=3, total=4)
counts = st.integers(0, 10)


@pytest.mark.parametrize(
    ("under", "at", "cap"),
    [((1, 0, 0), (2, 0, 0), "depth"), ((0, 2, 0), (0, 3, 0), "width"), ((0, 0, 3), (0, 0, 4), "total")],
)
def test_a_run_delegates_up_to_each_cap(under: tuple[int, ...], at: tuple[int, ...], cap: str) -> None:
    assert may_delegate(*under, caps=CAPS) is None
    refusal = may_delegate(*at, caps=CAPS)
    assert refusal and refusal.rule == f"delegation.{cap}"


def test_a_goal_is_not_handed_down_in_a_circle() -> None:
    assert may_delegate(1, 0, task="c", lineage=("a", "b"), caps=CAPS) is None
    refusal = may_delegate(1, 0, task="a", lineage=("a", "b"), caps=CAPS)
    assert refusal and refusal.rule == "delegation.circle"
    assert may_delegate(1, 0, task="", lineage=("",), caps=CAPS) is None


@given(depth=counts, width=counts, total=counts, one=contract(DelegationCaps), other=contract(DelegationCaps))
def test_what_tighter_caps_allow_the_wider_ones_allow(
    depth: int, width: int, total: int, one: DelegationCaps, other: DelegationCaps
) -> None:
    if may_delegate(depth, width, total, caps=one.tightened(other)) is None:
        assert may_delegate(depth, width, total, caps=one) is None
        assert may_delegate(depth, width, total, caps=other) is None


@given(depth=counts, width=counts, total=counts)
def test_who_may_delegate_may_with_less_behind_it(depth: int, width: int, total: int) -> None:
    if may_delegate(depth, width, total) is None:
        assert may_delegate(max(depth - 1, 0), max(width - 1, 0), max(total - 1, 0)) is None


def test_a_tree_that_keeps_the_caps_is_finite() -> None:
    """Every run starts children as long as it may: the tree ends, at the size the caps promise."""

    def runs(depth: int) -> int:
        width = 0
        while may_delegate(depth, width) is None:
            width += 1
        return 1 + width * runs(depth + 1) if width else 1

    assert runs(0) == 1 + 155
