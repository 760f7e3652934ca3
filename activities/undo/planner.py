"""Plans the steps of a rollback, in place of a model, from the record of the run that it undoes.

Each step undoes one effect, the last effect first. The planner stores which call undoes which effect before the step is
stored. So a later attempt at the step makes the same plan, and two rollbacks never undo the same effect.
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
from activities.undo.report import RollbackReport, in_words, item_of, outlook_from_report

PLANNER = "scripted:rollback"  # stored as the model of a rollback's steps; its price is zero


@dataclass(frozen=True)
class _RecordedCall:
    """The recorded arguments and result of a call, with the origin of the result and why that is suspect."""

    recorded: RecordedForUndo
    origin: str
    suspect: str | None


class RollbackPlanner:
    """Plans rollbacks, and reports what they undid."""

    def __init__(self, database: Database, agents: Agents) -> None:
        self._database = database
        self._agents = agents
        self._rollbacks = Rollbacks(database)

    async def step(self, rollback_id: str, step: int) -> Completion:
        """The rollback's plan for this step: one undo call, or the report if nothing is left to undo.

        Every attempt returns the same. Raises RollbackNotOrdered, StoreUnavailable.
        """
        rollback, call_id = await self._rollbacks.find(rollback_id), f"{step}.0"
        if planned := await self._planned(rollback_id, call_id):
            return planned
        agent = await self._agents.version(rollback.agent_version)
        for made, outlook in await self._outlooks(rollback.of_run, rollback.to_step, agent, rollback_id):
            if isinstance(outlook, Undoable) and await self._store_undo(rollback, call_id, made, agent):
                planned = await self._planned(
                    rollback_id, call_id
                )  # read it back: a concurrent attempt may have stored another one
                if planned:
                    return planned
        report = in_words(await self.report(rollback.of_run, rollback.to_step, rollback_id))
        return Completion(blocks=(Text(text=report),), stop_reason="end_turn", usage=Usage(), model=PLANNER)

    async def report(self, of_run: str, to_step: int = 0, rollback_id: str | None = None) -> RollbackReport:
        """Report on each effect that a run had after a step. Raises RollbackRefused, StoreUnavailable."""
        agent = await self._agents.version((await self._rollbacks.target(of_run)).agent_version)
        items = []
        for made, outlook in await self._outlooks(of_run, to_step, agent, rollback_id):
            if isinstance(outlook, Undoable):
                try:
                    await self._undo_arguments(of_run, made, agent)
                except SourceMissing as missing:
                    outlook = LeftAsIs(str(missing))
            if isinstance(outlook, HandedOver):
                outlook = outlook_from_report(await self.report(outlook.run_id))
            items.append(item_of(made, outlook))
        return RollbackReport(of_run, to_step, rollback_id, tuple(items))

    async def _outlooks(
        self, of_run: str, to_step: int, agent: AgentVersion, rollback_id: str | None
    ) -> list[tuple[CallMade, Outlook]]:
        """Every call that can change something, with its outlook, the last call first."""
        rows = await SQL["calls"].rows(self._database, run_id=of_run, to_step=to_step)
        calls = [_call_made(row) for row in rows]
        outlooks = [(made, outlook_of(made, agent.by_name, rollback_id)) for made in calls]
        return [(made, outlook) for made, outlook in outlooks if outlook is not None]

    async def _planned(self, rollback_id: str, call_id: str) -> Completion | None:
        row = await SQL["taken"].row(self._database, by_run=rollback_id, by_call=call_id)
        if row is None:
            return None
        call = ToolCall(call_id=call_id, name=row["tool"], input=json.loads(row["arguments"]))
        text = Text(text=f"{row['tool']} takes back {row['call_id']} of {row['run_id']}.")
        return Completion(blocks=(text, call), stop_reason="tool_use", usage=Usage(), model=PLANNER)

    async def _store_undo(self, rollback: Rollback, by_call: str, made: CallMade, agent: AgentVersion) -> bool:
        """Store that `by_call` undoes the effect of `made`. False if the undo's arguments cannot be derived.

        An argument taken from the result has the result's origin. Others are trusted: they were in an allowed call.
        """
        try:
            source, undo = await self._undo_arguments(rollback.of_run, made, agent)
        except SourceMissing:
            return False
        pinned = agent.by_name[made.tool]
        origins = {name: source.origin if name in undo.from_result else "trusted" for name in undo.arguments}
        await SQL["take"].row(
            self._database,
            by_run=rollback.rollback_id,
            by_call=by_call,
            run_id=rollback.of_run,
            call_id=made.call_id,
            tool=pinned.undo,
            arguments=canonical_json(undo.arguments),
            origins=canonical_json(origins),
            private=pinned.private,
            suspect=source.suspect if undo.from_result else None,
        )
        return True

    async def _undo_arguments(
        self, of_run: str, made: CallMade, agent: AgentVersion
    ) -> tuple[_RecordedCall, UndoArguments]:
        """The record of a call, and the arguments of its undo. Raises SourceMissing."""
        pinned = agent.by_name[made.tool]
        assert pinned.undo
        source = await self._read_recorded(of_run, made.call_id, pinned)
        required = agent.by_name[pinned.undo].input_schema.get("required", ())
        return source, arguments_of(pinned.undo_from, frozenset(required), source.recorded)

    async def _read_recorded(self, of_run: str, call_id: str, pinned: PinnedTool) -> _RecordedCall:
        row: Any = await SQL["recorded"].row(self._database, run_id=of_run, call_id=call_id)
        text = row["output"]
        if text is None:
            [result] = (block for block in blocks_of(row["content"]) if isinstance(block, ToolResult))
            text = unmarked(result.text, row["suspect"])
        is_from_tool = row["settled_by"] in ("result", "probe")  # else a person or Stanchion wrote the text
        recorded = RecordedForUndo(json.loads(row["arguments"]), pinned.input_schema, text if is_from_tool else None)
        return _RecordedCall(recorded, row["origin"], row["suspect"])


def _call_made(row: Any) -> CallMade:
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
