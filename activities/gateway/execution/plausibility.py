"""Checks whether a tool's result is plausible: against earlier results, and its items against each other.

An implausible result is marked suspect. A mark is never removed, and data is never changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from activities.gateway.execution.results import Result
from activities.policy.data_checks.drift import RUN, drift, number_of, run_of_extremes, sample_at
from activities.policy.data_checks.uniform_values import ENOUGH, same_for_all, same_throughout, sample_of
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.tools.spec import ToolSpec

SQL = Queries(__file__, "observations.sql")
HISTORY = 200  # samples to compare with: enough for a stable median, and few enough to follow a lasting change
APART = "!apart"  # suffix of a field if its sample is not part of the history; no watched path contains `!`
EACH = "!each"  # suffix of a field if its sample is the value that all items of a result share
REPEATED = 3 * ENOUGH  # earlier answers to compare with; more than ENOUGH, because questions may repeat


@dataclass(frozen=True)
class AnsweredCall:
    """The call that returned a result."""

    tenant: str
    run_id: str
    call_id: str
    digest: str = ""  # of the tool and its arguments; equal digests count as the same question


@dataclass(frozen=True)
class FieldHistory:
    """Earlier samples of one field, newest first: its history, and the last ones of this run and of all runs."""

    history: list[float] = field(default_factory=list)
    run: list[float] = field(default_factory=list)
    tool: list[float] = field(default_factory=list)

    def drift(self, value: object) -> str | None:
        """Why this sample is suspect, compared with the last samples of the run or of all runs; None if it is not."""
        return drift(self.history, self.run[::-1], value) or drift(self.history, self.tool[::-1], value)

    def repeats_an_extreme(self, value: float) -> bool:
        """Whether this sample continues a series of extremes, which may turn out to be drift.

        Such a sample is kept out of the history, or else a drifting series would become the norm.
        """
        return any(run_of_extremes(self.history, recent[::-1], value) > 1 for recent in (self.run, self.tool))


async def with_plausibility(
    database: Database, spec: ToolSpec, call: AnsweredCall, value_json: Any, result: Result
) -> Result:
    """Return `result`, marked suspect if `value_json` is implausible; store its samples.

    To be called after the tool ran and before its result is settled. It can be called again for the same call: that
    call's samples are neither compared with themselves nor stored twice. Does nothing for an error, or for a tool that
    declares neither `watch` nor `varies`. Raises StoreUnavailable.
    """
    if result.is_error:
        return result
    found = ((path, sample_at(value_json, path)) for path in spec.watch)
    samples = {path: sample for path, sample in found if sample is not None}
    items = {path: sample for path in spec.varies if (sample := sample_of(value_json, path)) is not None}
    if not samples and not items:
        return result
    # Store before reading the samples of others: of several concurrent calls, the last one then sees all.
    await _observe(database, spec, call, {path + EACH: sample for path, sample in items.items()})
    known = await _field_histories(database, spec, call) if samples else {}
    answers = await _earlier_answers(database, spec, call) if items else {}
    reasons = [f"{path} {why}" for path, sample in samples.items() if (why := known[path].drift(sample))]
    reasons += _equal_values(value_json, items, answers, call)
    if reasons:
        result = result.suspected("; ".join(reasons))
    await _observe(database, spec, call, _samples_by_name(samples, known, result))
    return result


async def _observe(database: Database, spec: ToolSpec, call: AnsweredCall, samples: Mapping[str, float]) -> None:
    if not samples:
        return
    await SQL["observe"].rows(
        database,
        tenant=call.tenant,
        tool=spec.name,
        run_id=call.run_id,
        call_id=call.call_id,
        fields=list(samples),
        samples=list(samples.values()),
    )


Answers = Mapping[tuple[str, str], list[tuple[float, str]]]  # (field, source) -> (sample, digest), newest first


def _equal_values(value_json: Any, items: Mapping[str, float], answers: Answers, call: AnsweredCall) -> Iterator[str]:
    """Reasons why items of a result, or the latest answers, are suspect: they should differ but are equal."""
    for path, sample in items.items():
        repeated = (same_for_all(answers.get((path, source), []), sample, call.digest) for source in ("run", "tool"))
        if why := same_throughout(value_json, path) or next(filter(None, repeated), None):
            yield f"{path} {why}"


def _samples_by_name(
    samples: Mapping[str, object], known: Mapping[str, FieldHistory], result: Result
) -> dict[str, float]:
    """The samples, by the name to store them under. Samples of a suspect result stay out of the history."""
    stored = {}
    for path, sample in samples.items():
        number = number_of(sample)
        if number is None:
            continue
        apart = result.suspect is not None or known[path].repeats_an_extreme(number)
        stored[path + APART if apart else path] = number
    return stored


async def _field_histories(database: Database, spec: ToolSpec, call: AnsweredCall) -> dict[str, FieldHistory]:
    rows = await SQL["known"].rows(
        database,
        tenant=call.tenant,
        tool=spec.name,
        run_id=call.run_id,
        call_id=call.call_id,
        fields=list(spec.watch),
        apart=APART,
        most=HISTORY,
        lately=RUN - 1,
    )
    known = {path: FieldHistory() for path in spec.watch}
    for row in rows:
        getattr(known[row["field"]], row["source"]).append(row["value"])
    return {path: FieldHistory(k.history, k.run[: RUN - 1], k.tool[: RUN - 1]) for path, k in known.items()}


async def _earlier_answers(database: Database, spec: ToolSpec, call: AnsweredCall) -> Answers:
    rows = await SQL["answers"].rows(
        database,
        tenant=call.tenant,
        tool=spec.name,
        run_id=call.run_id,
        call_id=call.call_id,
        fields=[path + EACH for path in spec.varies],
        most=REPEATED,
    )
    answers: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row in rows:
        key = (row["field"].removesuffix(EACH), row["source"])
        answers.setdefault(key, []).append((row["value"], row["digest"]))
    return answers
