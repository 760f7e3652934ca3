"""Weighing what a tool returned: against what it returned before, and its items against each other, as declared.

May mark a result suspect; never takes a mark away, never changes data, and never decides what becomes of a call.
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
HISTORY = 200  # samples compared with: the median is steady long before, and a new season becomes the norm in time
APART = "!apart"  # suffix of a field whose sample stays out of the history; `!` is in no watched path
EACH = "!each"  # suffix of what a result says of all its items, which is part of no history
REPEATED = 3 * ENOUGH  # answers looked back on: some of the questions may have been asked more than once


@dataclass(frozen=True)
class AnsweredCall:
    """The call that a result is of."""

    tenant: str
    run_id: str
    call_id: str
    digest: str = ""  # of what was asked: a question that is asked again is no other question


@dataclass(frozen=True)
class FieldHistory:
    """What is known of one field: its history, and the last samples of this run and of everyone, newest first."""

    history: list[float] = field(default_factory=list)
    run: list[float] = field(default_factory=list)
    tool: list[float] = field(default_factory=list)

    def drift(self, value: object) -> str | None:
        """Why this sample is suspect: because of the run's own last ones, or of everyone's."""
        return drift(self.history, self.run[::-1], value) or drift(self.history, self.tool[::-1], value)

    def repeats_an_extreme(self, value: float) -> bool:
        """It begins a run that may end as drift: were it history, the run would make itself the norm."""
        return any(run_of_extremes(self.history, recent[::-1], value) > 1 for recent in (self.run, self.tool))


async def with_plausibility(
    database: Database, spec: ToolSpec, asked: AnsweredCall, value_json: Any, result: Result
) -> Result:
    """`result`, marked suspect where `value_json` is not to be believed; its samples are stored.

    Called after the tool ran and before its result is settled. Safe to call again for the same call: what it stored is
    not compared with itself, nor stored twice. Raises StoreUnavailable: the caller, who retries to settle, calls again.
    Costs nothing for a tool without `watch` and `varies`, and for an error, which has no data.
    """
    if result.is_error:
        return result
    found = ((path, sample_at(value_json, path)) for path in spec.watch)
    samples = {path: sample for path, sample in found if sample is not None}
    items = {path: sample for path in spec.varies if (sample := sample_of(value_json, path)) is not None}
    if not samples and not items:
        return result
    # Stored before the others are read: of many calls side by side, the last one sees them all.
    await _observe(database, spec, asked, {path + EACH: sample for path, sample in items.items()})
    known = await _known(database, spec, asked) if samples else {}
    answers = await _answers(database, spec, asked) if items else {}
    reasons = [f"{path} {why}" for path, sample in samples.items() if (why := known[path].drift(sample))]
    reasons += _same(value_json, items, answers, asked)
    if reasons:
        result = result.suspected("; ".join(reasons))
    await _observe(database, spec, asked, _stored(samples, known, result))
    return result


async def _observe(database: Database, spec: ToolSpec, asked: AnsweredCall, samples: Mapping[str, float]) -> None:
    if not samples:
        return
    await SQL["observe"].rows(
        database,
        tenant=asked.tenant,
        tool=spec.name,
        run_id=asked.run_id,
        call_id=asked.call_id,
        fields=list(samples),
        samples=list(samples.values()),
    )


Answers = Mapping[tuple[str, str], list[tuple[float, str]]]  # (field, whose) -> (sample, digest), newest first


def _same(value_json: Any, items: Mapping[str, float], answers: Answers, asked: AnsweredCall) -> Iterator[str]:
    """What all items, or all answers of late, have in common though they should not."""
    for path, sample in items.items():
        of_others = (same_for_all(answers.get((path, whose), []), sample, asked.digest) for whose in ("run", "tool"))
        if why := same_throughout(value_json, path) or next(filter(None, of_others), None):
            yield f"{path} {why}"


def _stored(samples: Mapping[str, object], known: Mapping[str, FieldHistory], result: Result) -> dict[str, float]:
    """The samples under the names they are stored by. Nothing that a suspect result says becomes history."""
    stored = {}
    for path, sample in samples.items():
        number = number_of(sample)
        if number is None:
            continue
        apart = result.suspect is not None or known[path].repeats_an_extreme(number)
        stored[path + APART if apart else path] = number
    return stored


async def _known(database: Database, spec: ToolSpec, asked: AnsweredCall) -> dict[str, FieldHistory]:
    rows = await SQL["known"].rows(
        database,
        tenant=asked.tenant,
        tool=spec.name,
        run_id=asked.run_id,
        call_id=asked.call_id,
        fields=list(spec.watch),
        apart=APART,
        most=HISTORY,
        lately=RUN - 1,
    )
    known = {path: FieldHistory() for path in spec.watch}
    for row in rows:
        getattr(known[row["field"]], row["source"]).append(row["value"])
    return {path: FieldHistory(k.history, k.run[: RUN - 1], k.tool[: RUN - 1]) for path, k in known.items()}


async def _answers(database: Database, spec: ToolSpec, asked: AnsweredCall) -> Answers:
    rows = await SQL["answers"].rows(
        database,
        tenant=asked.tenant,
        tool=spec.name,
        run_id=asked.run_id,
        call_id=asked.call_id,
        fields=[path + EACH for path in spec.varies],
        most=REPEATED,
    )
    answers: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row in rows:
        place = (row["field"].removesuffix(EACH), row["source"])
        answers.setdefault(place, []).append((row["value"], row["digest"]))
    return answers
