"""Do many things say one and the same, where they should differ? Pure: no clock, no I/O, no logging.

A feed that broke says zero of everything at once. That needs no history to be seen: not what is usual is asked, as in
`drift.py`, but whether anything differs from one item to the next at all.
"""

import math
from collections import Counter
from collections.abc import Sequence

from activities.policy.data_checks.drift import elements, number_of

ENOUGH = 20  # items: if every other one has the commonest value, that 19 of 20 have it happens twice in 100,000 times
SHARE = 0.95  # of the items: a broken feed may still serve a few of them from somewhere else
NOTHING_IN_COMMON = math.nan  # sample of a result that does not say one number of all its items; equals no sample

Value = tuple[str, object]  # the kind first: 1 is not true, and not "1"


def same_throughout(data: object, path: str) -> str | None:
    """Why this result is suspect, as the end of a sentence that begins with the path; None where its items differ."""
    values = values_at(data, path)
    if len(values) < ENOUGH:
        return None
    value, count = Counter(values).most_common(1)[0]
    if count < SHARE * len(values):
        return None
    return f"is {_said(value)} in {count} of {len(values)} items, which should differ"


def same_for_all(samples: Sequence[tuple[float, str]], value: float, asked: str) -> str | None:
    """Why this result is suspect: as many different questions as `ENOUGH` had this one number for an answer.

    `samples`: (what an earlier result said, digest of what was asked), newest first.
    """
    alike = {asked}
    for earlier, question in samples:
        if earlier != value:
            break
        alike.add(question)
    if len(alike) < ENOUGH:
        return None
    return f"is {value:.6g} in each of the last {len(alike)} answers to different questions, which should differ"


def sample_of(data: object, path: str) -> float | None:
    """The number that the result says of all its items; NOTHING_IN_COMMON if there is none, None if no items are."""
    values = values_at(data, path)
    if not values:
        return None
    kind, value = values[0]
    alike = kind == "number" and all(each == values[0] for each in values)
    return float(value) if alike and isinstance(value, int | float) else NOTHING_IN_COMMON


def values_at(data: object, path: str) -> list[Value]:
    """What the items say at a dotted path, null included. A list on the way means all its elements."""
    here = [data]
    for name in path.split("."):
        here = [item[name] for item in elements(here) if isinstance(item, dict) and name in item]
    return [value for item in elements(here) if (value := _value(item)) is not None]


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


def _said(value: Value) -> str:
    """The value in words. Text from outside has no place in a reason."""
    match value:
        case ("number", float() as number):
            return f"{number:.6g}"
        case ("bool", bool() as truth):
            return str(truth).lower()
        case ("str", text):
            return "the same text" if text else "empty"
        case (kind, _):
            return kind
