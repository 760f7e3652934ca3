"""Evaluates recorded calls again with the transcript, definition and mode of their time. Reads only.

It reads calls in pages, and evidence run by run, so that its memory does not grow with the number of calls.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities.agents.versions import Agents, AgentVersion, PinnedTool
from activities.errors import Permanent, Transient
from activities.gateway.evaluation.checks import Candidate, EvaluatedCall, PolicyContext
from activities.gateway.evaluation.checks import evaluate as evaluate_call
from activities.gateway.evaluation.evidence import EvidenceReader
from activities.gateway.facts import CallFacts
from activities.policy.cedar.store import Effective
from activities.policy.values.provenance import Evidence
from activities.rehearsal.cases import as_planned
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.transcript import Transcripts
from activities.tools.errors import ToolDeclarationError
from activities.tools.registry import find_tool
from activities.tools.spec import ToolSpec
from activities.undo.orders import is_rollback
from activities.undo.rollback_evidence import evidence_on_record

SQL = Queries(__file__, "whatif.sql")
PAGE = 500  # calls per query: a few hundred KB
EVERYTHING = 2**31 - 1


class CannotBeEvaluated(Permanent):
    """This call cannot be evaluated here; the message says why."""


@dataclass(frozen=True)
class CallSelection:
    """Selects calls. `most`: only the latest so many; `only`: only these, each as `run_id call_id`."""

    tenant: str | None = None
    agent: str | None = None
    since: datetime | None = None
    most: int = EVERYTHING
    only: tuple[str, ...] | None = None


@dataclass(frozen=True)
class RecordedCall:
    """A call as it was planned, and its first verdict in the trace, if there is one."""

    facts: CallFacts
    verdict: str | None
    rule: str | None


async def recorded_calls(database: Database, chosen: CallSelection, page: int = PAGE) -> AsyncIterator[RecordedCall]:
    """The selected calls, of the latest run first. Raises StoreUnavailable."""
    remaining, after = chosen.most, _START
    while remaining > 0:
        rows = await SQL["calls"].rows(
            database,
            tenant=chosen.tenant,
            agent=chosen.agent,
            since=chosen.since,
            only=None if chosen.only is None else list(chosen.only),
            most=min(page, remaining),
            **after,
        )
        for row in rows:
            yield _recorded_call(dict(row))
        if len(rows) < min(page, remaining):
            return
        remaining -= len(rows)
        after = {"after": rows[-1]["opened_at"], "after_run": rows[-1]["run_id"], "after_seq": rows[-1]["seq"]}


_START: dict[str, Any] = {"after": None, "after_run": None, "after_seq": None}


def _recorded_call(row: dict[str, Any]) -> RecordedCall:
    del row["opened_at"]
    verdict, rule = row.pop("recorded_verdict"), row.pop("recorded_rule")
    return RecordedCall(as_planned(**row), verdict, rule)


@dataclass(frozen=True)
class PreparedCall:
    """A recorded call with its agent, tool and evidence."""

    candidate: Candidate
    evidence: Evidence

    def evaluate(self, policies: Effective) -> EvaluatedCall:
        """Evaluate the call with these policies. Never raises: a call that cannot be evaluated is denied."""
        return evaluate_call(self.candidate, PolicyContext(self.evidence, policies))


class CallArchive:
    """Reads the agent, tool and evidence of recorded calls. Calls must come run by run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._agents = Agents(database)
        self._tools: dict[tuple[str, str], tuple[PinnedTool | None, ToolSpec | str | None]] = {}
        self._reader = EvidenceReader(Transcripts(database))
        self._run_id = ""

    async def prepared(self, facts: CallFacts) -> PreparedCall:
        """The call with its agent, tool and evidence. Raises CannotBeEvaluated, StoreUnavailable."""
        try:
            agent = await self._agents.version(facts.agent_version)
            pinned, spec = self._tool(agent, facts.tool)
            above = await self._above(facts)
            return PreparedCall(Candidate(facts, agent, pinned, spec, above), await self._evidence(facts, agent))
        except (Transient, CannotBeEvaluated):
            raise
        except Exception as error:  # such as a definition of another release, or a gap in a transcript
            raise CannotBeEvaluated(f"{type(error).__name__}: {error}") from error

    async def _above(self, facts: CallFacts) -> tuple[AgentVersion, ...]:
        """The agents of the runs above the call's run: a sub-agent may only do what all of these may do too."""
        if len(facts.versions_above or ()) != len(facts.lineage or ()):
            raise CannotBeEvaluated("the runs above its run are not all in the database")
        return tuple([await self._agents.version(version) for version in facts.versions_above or ()])

    async def _evidence(self, facts: CallFacts, agent: AgentVersion) -> Evidence:
        if is_rollback(facts.run_id):
            return await evidence_on_record(self._database, facts)
        if facts.run_id != self._run_id:  # the cached evidence is of another run
            self._reader, self._run_id = EvidenceReader(Transcripts(self._database)), facts.run_id
        return await self._reader.read(facts, agent)

    def _tool(self, agent: AgentVersion, name: str) -> tuple[PinnedTool | None, ToolSpec | None]:
        """The tool of this agent version, or (None, None): a call of a tool that the agent does not have is refused."""
        key = (agent.version, name)
        if key not in self._tools:
            pinned = agent.by_name.get(name)
            self._tools[key] = (pinned, _as_published(pinned) if pinned else None)
        pinned, spec = self._tools[key]
        if isinstance(spec, str):
            raise CannotBeEvaluated(spec)
        return pinned, spec


def _as_published(pinned: PinnedTool) -> ToolSpec | str:
    """The tool that the agent was published with, or why it is not available here."""
    try:
        spec = find_tool(pinned.module, pinned.name)
    except ToolDeclarationError as error:
        return f"its tool cannot be imported here: {error}"
    if spec.pinned_hash != pinned.pinned_hash:
        return "its tool has changed since the agent was published"
    return spec
