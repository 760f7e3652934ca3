"""Reports, from the trace, what runs in mode `observe` would have done. Reads only."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from activities.errors import Permanent
from activities.rehearsal.cases import Word
from activities.rehearsal.recorded_calls import PAGE, SQL
from activities.storage.database import Database

OBSERVED = "mode.observe"
LISTED = 1_000  # at most so many calls are listed; all are counted
UNREADABLE = "?"

# Matches the reasons that activities/policy/engine/tiers.py writes; a test checks that they fit.
_OBSERVED_REASON = re.compile(r"it would have been (allowed|asked about|denied) \(([^:)]*): ")
_VERDICT_WORDS: dict[str, Word] = {"allowed": "allow", "asked about": "ask", "denied": "deny"}


class NothingObserved(Permanent):
    """No run of that name ran in mode observe."""


@dataclass(frozen=True)
class ObservedCall:
    """A call that was not performed because of mode observe, and the verdict that it would have had otherwise."""

    run_id: str
    call_id: str
    tool: str
    arguments: dict[str, Any]
    would_have: str
    rule: str
    reason: str


@dataclass
class Report:
    """Counts of calls by (tool, verdict, rule), and the first `LISTED` calls."""

    runs: int
    calls: int  # all calls of these runs, reads included
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    listed: list[ObservedCall] = field(default_factory=list)

    @property
    def effects(self) -> int:
        """The number of calls that were not performed."""
        return self.counts.total()


def would_have(reason: str) -> tuple[str, str]:
    """The verdict and the rule without mode observe, parsed from the reason of a verdict in mode observe."""
    match = _OBSERVED_REASON.search(reason)
    return (_VERDICT_WORDS[match[1]], match[2]) if match else (UNREADABLE, UNREADABLE)


async def observe_report(database: Database, *, agent: str | None = None, run_id: str | None = None) -> Report:
    """The report on all observing runs of an agent, or on one run. Raises NothingObserved, StoreUnavailable."""
    totals: Any = await SQL["observing"].row(database, agent=agent, run_id=run_id)
    if not totals["runs"]:
        raise NothingObserved(f"no run of {agent or run_id} was in mode observe")
    report = Report(totals["runs"], totals["calls"])
    async for call in _observed(database, agent, run_id):
        report.counts[(call.tool, call.would_have, call.rule)] += 1
        if len(report.listed) < LISTED:
            report.listed.append(call)
    return report


async def is_agent(database: Database, name: str) -> bool:
    """Whether an agent of that name is registered, or has runs."""
    row: Any = await SQL["known_agent"].row(database, agent=name)
    return bool(row["known"])


async def _observed(database: Database, agent: str | None, run_id: str | None) -> AsyncIterator[ObservedCall]:
    after: dict[str, Any] = {"after_run": None, "after": None}
    while rows := await SQL["observed"].rows(database, agent=agent, run_id=run_id, rule=OBSERVED, most=PAGE, **after):
        for row in rows:
            word, rule = would_have(row["reason"])
            arguments = json.loads(row["arguments"] or "{}")
            yield ObservedCall(row["run_id"], row["call_id"], row["tool"], arguments, word, rule, row["reason"])
        after = {"after_run": rows[-1]["run_id"], "after": rows[-1]["n"]}
