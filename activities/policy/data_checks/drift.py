"""Does a number fit those that the same tool gave before? Pure: no clock, no I/O, no logging.

Two things are drift: one number far from its history, and the same rarely seen extreme over and over (a dead sensor, an
emptied index), each of which alone would pass.
"""

import math
from collections.abc import Sequence
from statistics import fmean, median

LEAST = 20  # earlier samples; with fewer the median and its spread say little, so there is no opinion
THRESHOLD = 3.5  # Iglewicz & Hoaglin, How to Detect and Handle Outliers (1993): |modified z| above it is an outlier
MAD_OF_NORMAL = 0.6745  # median absolute deviation of a normal distribution, in standard deviations
PER_MEAN_DEVIATION = 1.253314  # standard deviations per mean absolute deviation of a normal distribution: sqrt(pi / 2)
RUN = 10  # equal extremes in a row: short enough to stop a purchase, too long for a rare value's chance (0.05 ** 10)
RARE = 0.05  # share of the history below which a value is rare
LARGEST = 1e100  # beyond it nothing was measured, and sums would overflow


def drift(history: Sequence[float], recent: Sequence[float], value: object) -> str | None:
    """Why `value` is suspect, as the end of a sentence that begins with what it is called; None where it fits.

    `history`: earlier samples that were not suspect, in any order; `recent`: the last samples of any kind, newest last.
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
    """The modified z-score: robust standard deviations from the median; infinite for what differs from a constant."""
    middle = median(history)
    away = [abs(earlier - middle) for earlier in history]
    spread = median(away) / MAD_OF_NORMAL or fmean(away) * PER_MEAN_DEVIATION
    distance = value - middle
    if spread == 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / spread


def run_of_extremes(history: Sequence[float], recent: Sequence[float], value: float) -> int:
    """How often in a row, now included, it was `value`, if that is a rare lowest or highest; else 0."""
    if len(history) < LEAST or min(history) < value < max(history):
        return 0
    if history.count(value) >= RARE * len(history):
        return 0
    others = (back for back, earlier in enumerate(reversed(recent)) if earlier != value)
    return next(others, len(recent)) + 1


def sample_at(data: object, path: str) -> object:
    """What JSON data says at a dotted path: the median of the numbers there. A list on the way means all its elements.

    None where there is nothing (or null); the first thing that is no number, where there is one.
    """
    here = [data]
    for name in path.split("."):
        here = [item[name] for item in elements(here) if isinstance(item, dict) and name in item]
    found = [item for item in elements(here) if item is not None]
    numbers = [number for item in found if (number := number_of(item)) is not None]
    if len(numbers) < len(found):
        return next(item for item in found if number_of(item) is None)
    return median(numbers) if numbers else None


def number_of(value: object) -> float | None:
    """`value` as a number that can be compared; None for NaN, infinity, true and false, text, and what is too large."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= LARGEST else None  # NaN compares as false too


def elements(values: Sequence[object]) -> list[object]:
    """The values, with lists replaced by what is in them, however deep."""
    flat: list[object] = []
    for value in values:
        flat.extend(elements(value) if isinstance(value, list | tuple) else (value,))
    return flat


def _kind(value: object) -> str:
    """What it is instead of a number. Never the value itself: text from outside has no place in a reason."""
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
