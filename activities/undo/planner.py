"""The planner of a rollback: it stands where a model stands in other runs, and reads nothing but our own record.

One undo a step, the last effect first. Which call takes back which effect is written before the step is stored, so an
attempt that died leaves the same plan to the next one, and two rollbacks never take back the same effect.
"""

import json
from dataclasses import dataclass
from typing import Any

from activities.agents.versions import Agents, AgentVersion, PinnedTool
from activities.gateway.execution.results import unmarked
from activities.model.provider import Completion, Text, ToolCall, ToolResult, Usage
from activities.storage.canonical import canonical_json
from activities.storage.database import Database
from activities.storage.transcript import blocks_of
from activities.tools.undo import RecordedForUndo, SourceMissing, UndoArguments, arguments_of
from activities.undo.call_outlook import Attempt, CallMade, HandedOver, LeftAsIs, Outlook, Undoable, outlook_of
from activities.undo.orders import SQL, Rollback, Rollbacks
from activities.undo.report import RollbackReport, in_words, item_of, outlook_on

PLANNER = "scripted:rollback"  # in the place of a model's name: it costs nothing


@dataclass(frozen=True)
class _RecordedCall:
    """What was recorded of a call, and where it came from."""

    recorded: RecordedForUndo
    origin: str
    suspect: str | None


class RollbackPlanner:
    """Plans rollbacks, and says how they stand."""

    def __init__(self, database: Database, agents: Agents) -> None:
        self._database = database
        self._agents = agents
        self._rollbacks = Rollbacks(database)

    async def step(self, rollback_id: str, step: int) -> Completion:
        """What a rollback does at this step: one undo, or, when there is none left, the report.

        The same at every attempt. Raises RollbackNotOrdered, StoreUnavailable.
        """
        rollback, call_id = await self._rollbacks.find(rollback_id), f"{step}.0"
        if planned := await self._planned(rollback_id, call_id):
            return planned
        agent = await self._agents.version(rollback.agent_version)
        for made, outlook in await self._outlooks(rollback.of_run, rollback.to_step, agent, rollback_id):
            if isinstance(outlook, Undoable) and await self._taken(rollback, call_id, made, agent):
                planned = await self._planned(rollback_id, call_id)  # it may be an attempt beside us that took it
                if planned:
                    return planned
        report = in_words(await self.report(rollback.of_run, rollback.to_step, rollback_id))
        return Completion(blocks=(Text(text=report),), stop_reason="end_turn", usage=Usage(), model=PLANNER)

    async def report(self, of_run: str, to_step: int = 0, rollback_id: str | None = None) -> RollbackReport:
        """How it stands with what a run did after a step. Raises RollbackRefused, StoreUnavailable."""
        agent = await self._agents.version((await self._rollbacks.target(of_run)).agent_version)
        items = []
        for made, outlook in await self._outlooks(of_run, to_step, agent, rollback_id):
            if isinstance(outlook, Undoable):
                try:
                    await self._arguments(of_run, made, agent)
                except SourceMissing as missing:
                    outlook = LeftAsIs(str(missing))
            if isinstance(outlook, HandedOver):
                outlook = outlook_on(await self.report(outlook.run_id))
            items.append(item_of(made, outlook))
        return RollbackReport(of_run, to_step, rollback_id, tuple(items))

    async def _outlooks(
        self, of_run: str, to_step: int, agent: AgentVersion, rollback_id: str | None
    ) -> list[tuple[CallMade, Outlook]]:
        """Every call that could change something, the last one first."""
        rows = await SQL["calls"].rows(self._database, run_id=of_run, to_step=to_step)
        calls = [_made(row) for row in rows]
        found = [(made, outlook_of(made, agent.by_name, rollback_id)) for made in calls]
        return [(made, outlook) for made, outlook in found if outlook is not None]

    async def _planned(self, rollback_id: str, call_id: str) -> Completion | None:
        row = await SQL["taken"].row(self._database, by_run=rollback_id, by_call=call_id)
        if row is None:
            return None
        call = ToolCall(call_id=call_id, name=row["tool"], input=json.loads(row["arguments"]))
        said = Text(text=f"{row['tool']} takes back {row['call_id']} of {row['run_id']}.")
        return Completion(blocks=(said, call), stop_reason="tool_use", usage=Usage(), model=PLANNER)

    async def _taken(self, rollback: Rollback, by_call: str, made: CallMade, agent: AgentVersion) -> bool:
        """Make this call the one that takes an effect back. False if its arguments cannot be known.

        A value of the result is as trustworthy as the result was; the arguments were allowed, and performed.
        """
        try:
            found, taken = await self._arguments(rollback.of_run, made, agent)
        except SourceMissing:
            return False
        pinned = agent.by_name[made.tool]
        origins = {name: found.origin if name in taken.from_result else "trusted" for name in taken.arguments}
        await SQL["take"].row(
            self._database,
            by_run=rollback.rollback_id,
            by_call=by_call,
            run_id=rollback.of_run,
            call_id=made.call_id,
            tool=pinned.undo,
            arguments=canonical_json(taken.arguments),
            origins=canonical_json(origins),
            private=pinned.private,
            suspect=found.suspect if taken.from_result else None,
        )
        return True

    async def _arguments(self, of_run: str, made: CallMade, agent: AgentVersion) -> tuple[_RecordedCall, UndoArguments]:
        """Raises Missing."""
        pinned = agent.by_name[made.tool]
        assert pinned.undo
        found = await self._recorded(of_run, made.call_id, pinned)
        required = agent.by_name[pinned.undo].input_schema.get("required", ())
        return found, arguments_of(pinned.undo_from, frozenset(required), found.recorded)

    async def _recorded(self, of_run: str, call_id: str, pinned: PinnedTool) -> _RecordedCall:
        row: Any = await SQL["recorded"].row(self._database, run_id=of_run, call_id=call_id)
        text = row["output"]
        if text is None:
            [result] = (block for block in blocks_of(row["content"]) if isinstance(block, ToolResult))
            text = unmarked(result.text, row["suspect"])
        replied = row["settled_by"] in ("result", "probe")  # else these are a person's words, or ours
        recorded = RecordedForUndo(json.loads(row["arguments"]), pinned.input_schema, text if replied else None)
        return _RecordedCall(recorded, row["origin"], row["suspect"])


def _made(row: Any) -> CallMade:
    attempt = None
    if row["by_run"] is not None:
        attempt = Attempt(
            run_id=row["by_run"],
            call_id=row["by_call"],
            tool=row["by_tool"],
            run_over=row["by_status"] != "open",
            state=row["by_state"],
            is_error=row["by_error"],
            happened=row["by_happened"],
            rule=row["by_rule"],
        )
    names = ("call_id", "step", "tool", "state", "is_error", "happened", "sub_agent")
    return CallMade(**{name: row[name] for name in names}, attempt=attempt)
