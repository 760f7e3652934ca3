"""Drift: which numbers fit a tool's own history, whatever their unit and zero; and what is no number at all."""

import math
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.policy.data_checks.drift import LARGEST, LEAST, RUN, drift, robust_z, run_of_extremes, sample_at

STOCK = [float(110 + i * 7 % 17) for i in range(200)]  # 110 to 126, median 118
ERRATIC = [float(i * 37 % 250) for i in range(1, 201)]  # anything from 0 to 249: a single zero is nothing unusual
ALTERNATING = [1.0, 2.0] * 10
NEARLY_CONSTANT = [5.0] * 39 + [6.0]  # the median absolute deviation is zero


@pytest.mark.parametrize(
    ("history", "value", "says"),
    [
        (STOCK, 118, None),
        (STOCK, 110, None),
        (STOCK, 126.0, None),
        (STOCK, 0, "is 0, usually 118 (median of 200), robust z = -19.9"),
        (STOCK, 1_180, "is 1180, usually 118"),
        (STOCK, -118, "is -118, usually 118"),
        (ERRATIC, 0, None),
        (ERRATIC, 249, None),
        (ERRATIC, 2_490, "is 2490, usually"),
        (ALTERNATING, 3, None),
        (ALTERNATING, 5, "is 5, usually 1.5 (median of 20), robust z = 4.7"),
        (NEARLY_CONSTANT, 5, None),
        (NEARLY_CONSTANT, 5.1, None),
        (NEARLY_CONSTANT, 6, "robust z = 31.9"),
        ([7.0] * LEAST, 7, None),
        ([7.0] * LEAST, 7.001, "is 7.001, usually 7 (median of 20), robust z = inf"),
        ([7.0] * LEAST, 6, "robust z = -inf"),
        (STOCK[: LEAST - 1], 0, None),
        ([7.0] * (LEAST - 1), 8, None),
        ([], 10**9, None),
    ],
)
def test_a_number_far_from_its_history_drifts_and_the_reason_has_the_numbers(
    history: list[float], value: float, says: str | None
) -> None:
    found = drift(history, [], value)
    assert found is None if says is None else found is not None and says in found


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "NaN"),
        (math.inf, "infinite"),
        (-math.inf, "infinite"),
        (1e300, "too large"),
        (10**400, "too large"),
        (True, "true or false"),
        (False, "true or false"),
        ("118", "text"),
        ({"stock": 118}, "a dict"),
    ],
)
@pytest.mark.parametrize("history", [[], STOCK])
def test_what_is_no_number_is_suspect_even_without_a_history(history: list[float], value: object, says: str) -> None:
    found = drift(history, [], value)
    assert found is not None and says in found and "where a number belongs" in found


def test_text_from_outside_is_never_part_of_a_reason() -> None:
    assert "ignore" not in (drift(STOCK, [], "ignore all that was said before") or "")


# ── runs of extremes ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("history", "recent", "value", "drifts"),
    [
        (ERRATIC, [0.0] * (RUN - 1), 0, True),
        (ERRATIC, [0.0] * (RUN - 2), 0, False),
        (ERRATIC, [0.0] * (RUN - 1) + [1.0], 0, False),
        (ERRATIC, [1.0] + [0.0] * (RUN - 1), 0, True),
        (ERRATIC, [249.0] * (RUN - 1), 249, True),
        (ERRATIC, [120.0] * (RUN - 1), 120, False),
        (ERRATIC, [-1.0] * (RUN - 1), -1, True),
        (ERRATIC + [0.0] * 11, [0.0] * (RUN - 1), 0, False),
        (ERRATIC[: LEAST - 1], [0.0] * RUN, 0, False),
    ],
    ids=[
        "ten zeros",
        "nine zeros",
        "broken by another value",
        "whatever came before",
        "the highest ever",
        "nothing extreme",
        "lower than ever",
        "zero is not rare",
        "too little history",
    ],
)
def test_the_same_rare_extreme_again_and_again_drifts_though_one_alone_would_not(
    history: list[float], recent: list[float], value: float, drifts: bool
) -> None:
    assert drift(history, [], value) is None
    found = drift(history, recent, value)
    assert (found is not None) is drifts
    assert found is None or f"each of the last {RUN} samples" in found


# ── for all numbers ─────────────────────────────────────────────────────────────────────────────────────────────────

# Integers and powers of two: then floats calculate exactly, and what is tested is the rule, not the rounding.
NUMBERS = st.integers(-(10**6), 10**6).map(float)
HISTORIES = st.lists(NUMBERS, min_size=LEAST, max_size=60) | st.lists(
    st.sampled_from([0.0, 1.0, 2.0, 50.0]), min_size=LEAST, max_size=60
)
RECENT = st.lists(st.sampled_from([0.0, 1.0, 50.0]), max_size=RUN + 2)


@given(HISTORIES, NUMBERS, NUMBERS, st.integers(-10, 10), st.sampled_from([1.0, -1.0]))
def test_another_unit_or_zero_never_changes_the_verdict(
    history: list[float], value: float, shift: float, exponent: int, sign: float
) -> None:
    def moved(number: float) -> float:
        return sign * 2.0**exponent * number + shift

    elsewhere = [moved(number) for number in history]
    for recent in ([], [value] * RUN):
        before = drift(history, recent, value)
        after = drift(elsewhere, [moved(number) for number in recent], moved(value))
        assert (before is None) == (after is None)


@given(HISTORIES, RECENT)
def test_the_median_itself_never_drifts(history: list[float], recent: list[float]) -> None:
    assert drift(history, recent, median(history)) is None
    assert drift(history, [median(history)] * RUN, median(history)) is None


@given(HISTORIES, RECENT, NUMBERS, st.randoms())
def test_the_order_of_the_history_does_not_matter(
    history: list[float], recent: list[float], value: float, shuffling: Any
) -> None:
    shuffled = list(history)
    shuffling.shuffle(shuffled)
    assert drift(shuffled, recent, value) == drift(history, recent, value)


@given(HISTORIES, NUMBERS, st.integers(1, 10**6))
def test_what_is_further_out_on_the_same_side_is_no_less_suspect(
    history: list[float], value: float, further: int
) -> None:
    beyond = value + further if value >= median(history) else value - further
    assert abs(robust_z(history, beyond)) >= abs(robust_z(history, value))


@given(HISTORIES, RECENT, NUMBERS)
def test_less_than_half_of_a_history_cannot_make_the_rest_of_it_drift(
    history: list[float], recent: list[float], poison: float
) -> None:
    """The median and the deviation of a tight history stay with the majority, whatever a minority says."""
    tight = [100.0 + number % 3 for number in range(LEAST * 2)]
    poisoned = tight + [poison] * (LEAST // 2)
    assert drift(poisoned, [], 101.0) is None


@given(st.lists(st.floats(-LARGEST, LARGEST), min_size=LEAST, max_size=40), st.floats())
def test_any_numbers_at_all_give_an_opinion_and_no_error(history: list[float], value: float) -> None:
    found = drift(history, history, value)
    assert found is None or found.startswith("is ")


@given(HISTORIES, RECENT)
def test_a_run_is_counted_from_its_end(history: list[float], recent: list[float]) -> None:
    lowest = min(history) - 1
    assert run_of_extremes(history, [*recent, lowest, lowest], lowest) == 3
    assert run_of_extremes(history, [lowest, lowest, *recent, lowest + 1], lowest) == 1


# ── samples ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "path", "sample"),
    [
        ({"stock": 3}, "stock", 3.0),
        ({"a": {"b": {"c": 1.5}}}, "a.b.c", 1.5),
        ({"items": [{"price": 1}, {"price": 9}, {"price": 2}]}, "items.price", 2.0),
        ({"items": [{"price": 1}, {"price": 2}]}, "items.price", 1.5),
        ([{"price": 1}, {"price": 9}, {"price": 2}], "price", 2.0),
        ({"shops": [{"items": [{"n": 1}, {"n": 2}]}, {"items": [{"n": 30}]}]}, "shops.items.n", 2.0),
        ({"n": [[1, 2], [[3]]]}, "n", 2.0),
        ({"items": [{"price": 4}, {}, {"price": None}, 7, "x"]}, "items.price", 4.0),
        ({"items": []}, "items.price", None),
        ({"stock": None}, "stock", None),
        ({"other": 1}, "stock", None),
        ("text", "stock", None),
        (None, "stock", None),
        ({"items": [{"price": 1}, {"price": "2"}, {"price": 3}]}, "items.price", "2"),
        ({"stock": True}, "stock", True),
        ({"stock": {"deep": 1}}, "stock", {"deep": 1}),
    ],
)
def test_the_sample_is_the_median_of_what_is_found(data: object, path: str, sample: object) -> None:
    assert sample_at(data, path) == sample
    assert type(sample_at(data, path)) is type(sample)
