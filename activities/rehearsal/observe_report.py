"""What runs in mode `observe` would have done: read from the verdicts that the trace keeps. Reads only."""

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
LISTED = 1_000  # calls that a report lists; it counts all of them
UNREADABLE = "?"

# The words of activities/policy/engine/tiers.py; a test holds the two together.
_SAYS = re.compile(r"it would have been (allowed|asked about|denied) \(([^:)]*): ")
_WORDS: dict[str, Word] = {"allowed": "allow", "asked about": "ask", "denied": "deny"}


class NothingObserved(Permanent):
    """No run of that name ran in mode observe."""


@dataclass(frozen=True)
class ObservedCall:
    """A call that was not performed, and what would have become of it."""

    run_id: str
    call_id: str
    tool: str
    arguments: dict[str, Any]
    would_have: str
    rule: str
    reason: str


@dataclass
class Report:
    """Counts by tool, what would have happened and rule; and the calls, up to a limit."""

    runs: int
    calls: int  # of these runs in all, reads included
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    listed: list[ObservedCall] = field(default_factory=list)

    @property
    def effects(self) -> int:
        """How many calls were not performed."""
        return self.counts.total()


def would_have(reason: str) -> tuple[str, str]:
    """What would have happened and by which rule, from the reason of a verdict in mode observe."""
    found = _SAYS.search(reason)
    return (_WORDS[found[1]], found[2]) if found else (UNREADABLE, UNREADABLE)


async def observe_report(database: Database, *, agent: str | None = None, run_id: str | None = None) -> Report:
    """The report of an agent's runs, or of one. Raises NothingObserved, StoreUnavailable."""
    totals: Any = await SQL["observing"].row(database, agent=agent, run_id=run_id)
    if not totals["runs"]:
        raise NothingObserved(f"no run of {agent or run_id} was in mode observe")
    made = Report(totals["runs"], totals["calls"])
    async for call in _observed(database, agent, run_id):
        made.counts[(call.tool, call.would_have, call.rule)] += 1
        if len(made.listed) < LISTED:
            made.listed.append(call)
    return made


async def is_agent(database: Database, name: str) -> bool:
    """Whether an agent of that name is registered, or ran."""
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
