"""Detects numbers that do not fit the earlier ones of the same tool. Pure: no clock, no I/O, no logging.

A number is drift if it is far from its history. A series of equal numbers is drift if they are a rare extreme of the
history, as from a dead sensor or an emptied index; one such number alone would not be.
"""

import math
from collections.abc import Sequence
from statistics import fmean, median

LEAST = 20  # earlier samples needed; the median and spread of fewer say little, so nothing is reported
THRESHOLD = 3.5  # Iglewicz & Hoaglin, How to Detect and Handle Outliers (1993): |modified z| above it is an outlier
MAD_OF_NORMAL = 0.6745  # median absolute deviation of a normal distribution, in standard deviations
PER_MEAN_DEVIATION = 1.253314  # standard deviations per mean absolute deviation of a normal distribution: sqrt(pi / 2)
RUN = 10  # equal extremes in a row that count as drift; by chance a rare value has probability 0.05 ** 10
RARE = 0.05  # share of the history below which a value is rare
LARGEST = 1e100  # larger numbers are refused; they are no measurements, and sums of them would overflow


def drift(history: Sequence[float], recent: Sequence[float], value: object) -> str | None:
    """Why `value` is suspect, as the predicate of a sentence about it; None if it fits.

    `history`: earlier samples that were not suspect, in any order. `recent`: the last samples, suspect or not, newest
    last.
    """
    number = number_of(value)
    if number is None:
        return f"is {_kind(value)} where a number belongs"
    if len(history) < LEAST:
        return None
    z = robust_z(history, number)
    if abs(z) > THRESHOLD:
        usual = f"usually {median(history):.6g} (median of {len(history)})"
        return f"is {number:.6g}, {usual}, robust z = {z:.1f}"
    run = run_of_extremes(history, recent, number)
    if run >= RUN:
        usual = f"usually {history.count(number)} of {len(history)} are"
        extreme = "low" if number <= min(history) else "high"
        return f"is {number:.6g} in each of the last {run} samples, as {extreme} as ever; {usual}"
    return None


def robust_z(history: Sequence[float], value: float) -> float:
    """The modified z-score: distance from the median in robust standard deviations; infinite if these are 0."""
    middle = median(history)
    deviations = [abs(earlier - middle) for earlier in history]
    spread = median(deviations) / MAD_OF_NORMAL or fmean(deviations) * PER_MEAN_DEVIATION
    distance = value - middle
    if spread == 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / spread


def run_of_extremes(history: Sequence[float], recent: Sequence[float], value: float) -> int:
    """The number of equal samples in a row, this one included; 0 if `value` is not a rare extreme of the history."""
    if len(history) < LEAST or min(history) < value < max(history):
        return 0
    if history.count(value) >= RARE * len(history):
        return 0
    run_lengths = (back for back, earlier in enumerate(reversed(recent)) if earlier != value)
    return next(run_lengths, len(recent)) + 1


def sample_at(data: object, path: str) -> object:
    """The median of the numbers at a dotted path of JSON data. A list on the way stands for all its elements.

    None if there is nothing but nulls. If something there is not a number, the first such value.
    """
    nodes = [data]
    for name in path.split("."):
        nodes = [item[name] for item in elements(nodes) if isinstance(item, dict) and name in item]
    found = [item for item in elements(nodes) if item is not None]
    numbers = [number for item in found if (number := number_of(item)) is not None]
    if len(numbers) < len(found):
        return next(item for item in found if number_of(item) is None)
    return median(numbers) if numbers else None


def number_of(value: object) -> float | None:
    """`value` as a float; None for a bool, text, NaN, infinity, or a number beyond LARGEST."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= LARGEST else None  # the comparison is also false for NaN


def elements(values: Sequence[object]) -> list[object]:
    """The values, with nested lists flattened."""
    flat: list[object] = []
    for value in values:
        flat.extend(elements(value) if isinstance(value, list | tuple) else (value,))
    return flat


def _kind(value: object) -> str:
    """The kind of a value that is not a number. Not the value itself: a reason must not repeat untrusted text."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case float() if math.isnan(value):
            return "not a number (NaN)"
        case int() | float():
            return "infinite or too large"
        case _:
            return f"a {type(value).__name__}"
