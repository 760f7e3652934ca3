"""Detects loops: (latest calls, the last one in question) -> findings. Pure, without state of its own.

The table of detectors, with thresholds and reasons, is in `loops.py`; the numbers are here, once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from workflows.similarity import ALIKE, distance

Rule = Literal["repeated-call", "alike-calls", "same-result", "cycle", "errors", "no-news"]
Flag = Literal["n", "s", "e", "m", "r", "p"]

NEW: Flag = "n"  # it brought something the run had not read before
STALE: Flag = "s"  # it ran, and said nothing new
ERROR: Flag = "e"  # the tool refused or failed
MISTAKE: Flag = "m"  # no such tool, arguments that do not fit: the model's own mistake
REFUSED: Flag = "r"  # the loop, a policy or a person said no
PLANNED: Flag = "p"  # it has not been performed yet

LONGEST_CYCLE = 5  # calls; a longer round looks like a plan


@dataclass(frozen=True)
class Limits:
    """The number of calls at which the model is told, the next call is refused, and a person is asked. None: never."""

    note: int
    refuse: int | None
    pause: int


SAME_ANSWER = Limits(2, 3, 6)
FAILED_AGAIN = Limits(3, 4, 6)
OTHER_ANSWER = Limits(3, 6, 9)
REWORDED = Limits(3, 5, 8)
COUNTED_UP = Limits(4, 8, 12)
SAME_RESULT = Limits(3, 6, 9)
ERRORS = Limits(3, None, 8)
MISTAKES = Limits(3, None, 5)
NO_NEWS = Limits(12, None, 24)


class SeenCall(NamedTuple):
    """One call in the loop memory: short digests, and its outcome. `result` is empty if there is none."""

    tool: str
    key: str  # equal for the same tool with the same arguments
    sketch: int | None
    shape: str
    result: str
    flag: Flag
    writes: bool


@dataclass(frozen=True)
class Finding:
    """Evidence of a loop: the rule, and how many calls support it, including the call in question."""

    rule: Rule
    count: int
    limits: Limits
    period: int = 1

    @property
    def refuses(self) -> bool:
        """Whether the call in question must be refused."""
        return self.limits.refuse is not None and self.count >= self.limits.refuse


def findings(calls: Sequence[SeenCall], stale: int = 0) -> Iterator[Finding]:
    """All findings about the last of `calls`. `stale`: how many calls in a row brought nothing new."""
    yield from _repeated(calls)
    yield from _alike(calls)
    yield from _same_result(calls)
    yield from _cycle(calls)
    yield from _errors(calls)
    if stale:
        yield Finding("no-news", stale, NO_NEWS)


def acts(call: SeenCall, before: Sequence[SeenCall]) -> bool:
    """Whether the call is a write that was not made before: the same question may have another answer after it."""
    return call.writes and call.flag in (NEW, STALE) and all(call.key != other.key for other in before)


def _repeated(calls: Sequence[SeenCall]) -> Iterator[Finding]:
    call = calls[-1]
    same = _back(calls, lambda other: other.key == call.key, acts)
    answers = Counter(other.result for other in same if other.flag in (NEW, STALE))
    errors = sum(other.flag == ERROR for other in same)
    others = len(same) - answers.total() - errors  # refused, mistaken, or planned
    if errors and not answers:
        yield Finding("repeated-call", errors + others, FAILED_AGAIN)
        return
    # Errors do not count as answers: a retry that succeeds is no repetition.
    if not _moved(calls):
        yield Finding("repeated-call", max(answers.values(), default=0) + others, SAME_ANSWER)
    yield Finding("repeated-call", answers.total() + others, OTHER_ANSWER)


def _moved(calls: Sequence[SeenCall]) -> bool:
    """Whether a read since the last identical write showed a change, as after pressing "next"."""
    call = calls[-1]
    if not call.writes:
        return False
    for index in reversed(range(len(calls) - 1)):
        if calls[index].key == call.key:
            return False
        if _shows_another(calls[index], calls[:index]):
            return True
    return False


def _shows_another(call: SeenCall, before: Sequence[SeenCall]) -> bool:
    """Whether a repeated read got an answer that the run had not read before, not only another timestamp."""
    earlier = next((other for other in reversed(before) if other.key == call.key and other.result), None)
    return call.flag == NEW and not call.writes and earlier is not None and earlier.result != call.result


def _alike(calls: Sequence[SeenCall]) -> Iterator[Finding]:
    call = calls[-1]
    near = _back(calls, lambda other: _is_alike(call, other), _informs)
    if len({other.key for other in near}) < 2:
        return
    results = Counter(other.result for other in near if other.result)
    vain = [other for other in near if not _stands_out(other, results)]
    counted_up = not call.writes and all(other.shape == call.shape for other in near)
    yield Finding("alike-calls", len(vain), COUNTED_UP if counted_up else REWORDED)


def _is_alike(call: SeenCall, other: SeenCall) -> bool:
    if call.tool != other.tool or call.sketch is None or other.sketch is None:
        return False
    return distance(call.sketch, other.sketch) <= ALIKE


def _stands_out(call: SeenCall, results: "Counter[str]") -> bool:
    """Whether no other call had this result: a page of a list, or a different error."""
    return call.flag in (NEW, ERROR) and bool(call.result) and results[call.result] == 1


def _same_result(calls: Sequence[SeenCall]) -> Iterator[Finding]:
    """Several reads with the same result. Writes are left out: "ok" after each is the normal case."""
    call = calls[-1]
    of_tool = [other for other in calls if other.tool == call.tool and other.result]
    if call.writes or not of_tool:
        return
    result = of_tool[-1].result
    equal = _back(
        calls,
        lambda other: other.tool == call.tool and other.result in ("", result) and other.flag not in (ERROR, MISTAKE),
        _informs,
    )
    # Calls of one shape go through a list, where each item may well get the same answer.
    yield Finding("same-result", len({other.shape for other in equal}), SAME_RESULT)


def _informs(call: SeenCall, before: Sequence[SeenCall]) -> bool:
    return call.flag == NEW or acts(call, before)


def _cycle(calls: Sequence[SeenCall]) -> Iterator[Finding]:
    """The shortest cycle of two to five calls that was repeated at least once."""
    keys = [call.key for call in calls]
    for period in range(1, LONGEST_CYCLE + 1):
        length = _length(keys, period)
        if length < 2 * period:
            continue
        again = calls[-length:][period:]
        looks = [index for index, call in enumerate(calls) if not call.writes and call.flag != PLANNED]
        moved = [_shows_another(calls[index], calls[:index]) for index in looks if index >= len(calls) - len(again)]
        if period > 1 and any(call.flag not in (NEW, PLANNED) for call in again) and not (moved and all(moved)):
            yield Finding("cycle", length, Limits(2 * period, 2 * period + 1, 4 * period), period)
        return


def _length(keys: Sequence[str], period: int) -> int:
    """How many of the last calls form a cycle of this period, including its first round."""
    length = period
    while length < len(keys) and keys[-length - 1] == keys[-length - 1 + period]:
        length += 1
    return length


def _errors(calls: Sequence[SeenCall]) -> Iterator[Finding]:
    flags: list[Flag] = []
    for call in reversed(calls):
        if call.flag in (ERROR, MISTAKE):
            flags.append(call.flag)
        elif call.flag in (NEW, STALE):
            break
    if flags:
        yield Finding("errors", len(flags), MISTAKES if set(flags) == {MISTAKE} else ERRORS)


def _back(
    calls: Sequence[SeenCall],
    belongs: Callable[[SeenCall], bool],
    interrupts: Callable[[SeenCall, Sequence[SeenCall]], bool],
) -> list[SeenCall]:
    """The last call and the earlier calls that match it, back to the last call that changed something."""
    found = [calls[-1]]
    for index in reversed(range(len(calls) - 1)):
        if belongs(calls[index]):
            found.append(calls[index])
        elif interrupts(calls[index], calls[:index]):
            break
    return found
