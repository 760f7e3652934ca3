"""Weighing what a tool returned against what it returned before, for the fields its author watches.

May mark a result suspect; never takes a mark away, never changes data, and never decides what becomes of a call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from activities.gateway.results import Result
from activities.policy.drift import RUN, drift, number_of, run_of_extremes, sample_at
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.tools.spec import ToolSpec

SQL = Queries(__file__, "observations.sql")
HISTORY = 200  # samples compared with: the median is steady long before, and a new season becomes the norm in time
APART = "!apart"  # suffix of a field whose sample stays out of the history; `!` is in no watched path


@dataclass(frozen=True)
class Known:
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


async def weighed(
    database: Database, spec: ToolSpec, tenant: str, run_id: str, call_id: str, value_json: Any, result: Result
) -> Result:
    """`result`, marked suspect where a watched field of `value_json` drifted; its samples are stored.

    Called after the tool ran and before its result is settled. Safe to call again for the same call: what it stored is
    not compared with itself, nor stored twice. Raises StoreUnavailable: the caller, who retries to settle, calls again.
    Costs nothing for a tool without `watch`, and for an error, which has no data.
    """
    if not spec.watch or result.is_error:
        return result
    found = ((path, sample_at(value_json, path)) for path in spec.watch)
    samples = {path: sample for path, sample in found if sample is not None}
    if not samples:
        return result
    known = await _known(database, spec, tenant, run_id, call_id)
    reasons = [f"{path} {why}" for path, sample in samples.items() if (why := known[path].drift(sample))]
    if reasons:
        result = result.suspected("; ".join(reasons))
    stored = _stored(samples, known, result)
    await SQL["observe"].rows(
        database,
        tenant=tenant,
        tool=spec.name,
        run_id=run_id,
        call_id=call_id,
        fields=list(stored),
        samples=list(stored.values()),
    )
    return result


def _stored(samples: Mapping[str, object], known: Mapping[str, Known], result: Result) -> dict[str, float]:
    """The samples under the names they are stored by. Nothing that a suspect result says becomes history."""
    stored = {}
    for path, sample in samples.items():
        number = number_of(sample)
        if number is None:
            continue
        apart = result.suspect is not None or known[path].repeats_an_extreme(number)
        stored[path + APART if apart else path] = number
    return stored


async def _known(database: Database, spec: ToolSpec, tenant: str, run_id: str, call_id: str) -> dict[str, Known]:
    rows = await SQL["known"].rows(
        database,
        tenant=tenant,
        tool=spec.name,
        run_id=run_id,
        call_id=call_id,
        fields=list(spec.watch),
        apart=APART,
        most=HISTORY,
        lately=RUN - 1,
    )
    known = {path: Known() for path in spec.watch}
    for row in rows:
        getattr(known[row["field"]], row["source"]).append(row["value"])
    return {path: Known(k.history, k.run[: RUN - 1], k.tool[: RUN - 1]) for path, k in known.items()}
