"""Detects items of a result, or results of different calls, that should differ but are all equal. Pure.

A broken data feed may return zero for every item. Unlike drift, this can be detected without a history: the values are
compared with each other.
"""

import math
from collections import Counter
from collections.abc import Sequence

from activities.policy.data_checks.drift import elements, number_of

ENOUGH = 20  # items needed; if half of all items have one value, 19 of 20 have it with a probability of 2 in 100,000
SHARE = 0.95  # share of equal items that is suspect; a broken feed may still return a few correct ones
NOTHING_IN_COMMON = math.nan  # sample of a result whose items do not all have one number; NaN equals no other sample

Value = tuple[str, object]  # (kind, value); with the kind, 1 differs from true and from "1"


def same_throughout(data: object, path: str) -> str | None:
    """Why a result is suspect because its items are equal, as the predicate of a sentence about the path; else None."""
    values = values_at(data, path)
    if len(values) < ENOUGH:
        return None
    value, count = Counter(values).most_common(1)[0]
    if count < SHARE * len(values):
        return None
    return f"is {_in_words(value)} in {count} of {len(values)} items, which should differ"


def same_for_all(samples: Sequence[tuple[float, str]], value: float, asked: str) -> str | None:
    """Why a result is suspect because the last answers to ENOUGH different questions were the same number; else None.

    `samples`: (number in an earlier result, digest of its question), newest first. `asked`: digest of this question.
    """
    questions = {asked}
    for earlier, question in samples:
        if earlier != value:
            break
        questions.add(question)
    if len(questions) < ENOUGH:
        return None
    return f"is {value:.6g} in each of the last {len(questions)} answers to different questions, which should differ"


def sample_of(data: object, path: str) -> float | None:
    """The number that all items of a result have; NOTHING_IN_COMMON if they differ, None if there are no items."""
    values = values_at(data, path)
    if not values:
        return None
    kind, value = values[0]
    are_equal = kind == "number" and all(each == values[0] for each in values)
    return float(value) if are_equal and isinstance(value, int | float) else NOTHING_IN_COMMON


def values_at(data: object, path: str) -> list[Value]:
    """The values of the items at a dotted path, nulls included. A list on the way stands for all its elements."""
    nodes = [data]
    for name in path.split("."):
        nodes = [item[name] for item in elements(nodes) if isinstance(item, dict) and name in item]
    return [value for item in elements(nodes) if (value := _value(item)) is not None]


def _value(item: object) -> Value | None:
    match item:
        case None:
            return ("nothing", None)
        case bool() | str():
            return (type(item).__name__, item)
        case int() | float():
            number = number_of(item)
            return ("no number", None) if number is None else ("number", number)
        case _:
            return None


def _in_words(value: Value) -> str:
    """The value in words. Text is left out: a reason must not repeat untrusted text."""
    match value:
        case ("number", float() as number):
            return f"{number:.6g}"
        case ("bool", bool() as truth):
            return str(truth).lower()
        case ("str", text):
            return "the same text" if text else "empty"
        case (kind, _):
            return kind
