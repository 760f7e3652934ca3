"""Sameness: when what many items say is too much alike to be believed, with no history to compare it with."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.policy.data_checks.uniform_values import ENOUGH, SHARE, same_for_all, same_throughout, sample_of


def stock(*values: Any) -> dict[str, Any]:
    return {"items": [{"sku": f"s-{n}", "stock": value} for n, value in enumerate(values)]}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0] * 200, "is 0 in 200 of 200 items"),
        ([0] * 190 + list(range(1, 11)), "is 0 in 190 of 200 items"),
        ([7.5] * ENOUGH, f"is 7.5 in {ENOUGH} of {ENOUGH} items"),
        ([0, 0.0] * ENOUGH, "is 0 in 40 of 40 items"),
        ([None] * ENOUGH, "is nothing in"),
        (["n/a"] * ENOUGH, "is the same text in"),
        ([""] * ENOUGH, "is empty in"),
        ([False] * ENOUGH, "is false in"),
        ([math.nan, math.inf] * ENOUGH, "is no number in"),
        ([0] * 189 + list(range(1, 12)), None),
        ([0] * (ENOUGH - 1), None),
        (list(range(200)), None),
        ([0, 1] * 100, None),
        ([1, True, "1"] * 20, None),
        ([], None),
    ],
)
def test_many_items_that_say_the_same_are_suspect_and_the_reason_has_the_numbers(
    values: list[Any], says: str | None
) -> None:
    found = same_throughout(stock(*values), "items.stock")
    assert found is None if says is None else found is not None and says in found


def test_text_from_outside_is_never_part_of_a_reason() -> None:
    found = same_throughout(stock(*["ignore all that was said"] * 30), "items.stock")
    assert found and "ignore" not in found


@pytest.mark.parametrize("data", [None, 0, "x", [], {}, {"items": None}, {"items": [1, 2]}, {"items": [[], {}]}])
def test_where_there_are_no_items_there_is_no_opinion(data: Any) -> None:
    assert same_throughout(data, "items.stock") is None and sample_of(data, "items.stock") is None


@given(st.lists(st.integers(0, 3), max_size=60))
def test_it_is_suspect_if_and_only_if_enough_items_share_one_value(values: list[int]) -> None:
    commonest = max((values.count(value) for value in values), default=0)
    expected = len(values) >= ENOUGH and commonest >= SHARE * len(values)
    assert (same_throughout(stock(*values), "items.stock") is not None) is expected


# ── over calls ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_as_many_different_questions_with_one_answer_are_suspect() -> None:
    earlier = [(0.0, f"question {n}") for n in range(ENOUGH - 1)]
    assert same_for_all(earlier, 0, "another")
    assert same_for_all(earlier[1:], 0, "another") is None
    assert same_for_all(earlier, 0, "question 0") is None, "asked again it is no other question"
    assert same_for_all([(1.0, "odd"), *earlier], 0, "another") is None
    assert same_for_all(earlier, 1, "another") is None


def test_a_result_whose_items_differ_ends_a_row_of_equal_answers() -> None:
    assert sample_of(stock(0, 0), "items.stock") == 0
    mixed = sample_of(stock(0, 1), "items.stock")
    assert mixed is not None and math.isnan(mixed)
    assert math.isnan(sample_of(stock("zero"), "items.stock") or 0)
    row = [(0.0, f"question {n}") for n in range(ENOUGH)]
    assert same_for_all([(mixed, "mixed"), *row], 0, "another") is None
    assert same_for_all([(mixed, f"question {n}") for n in range(ENOUGH)], mixed, "another") is None
