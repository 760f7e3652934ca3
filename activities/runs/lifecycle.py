"""`runs.open` and `runs.close` admit a run and store its end, each in one repeatable statement; `runs.reap`."""

import json
from typing import Any

from temporalio import activity

from activities.agents.versions import Agents
from activities.budgets.typical_cost import FEWEST, LOOKED_AT, AlarmFactors
from activities.errors import Permanent
from activities.ledger.caps import Rule, stored_rules
from activities.ledger.ledger import Ledger, naming_breaches, window_arguments
from activities.model.provider import Text, ToolCall, ToolResult
from activities.runs.admission_terms import AdmissionTerms
from activities.runs.delegated_runs import Delegated, find_delegated, note_never_admitted, write_task
from activities.runs.engine import OwnEngine
from activities.runs.open_run_windows import SECONDS, minutes_used, run_windows
from activities.runs.reaper import Reaper
from activities.storage.canonical import clean_text, sha256_hex, text_digest
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.trace import Trace
from activities.storage.transcript import SQL as TRANSCRIPT
from activities.storage.transcript import decode, stored
from activities.undo.orders import Rollbacks, is_rollback
from workflows.contracts.budgets import Budget
from workflows.contracts.events import OutcomeUnknown, RunClosed
from workflows.contracts.reaping import ReapReport
from workflows.contracts.runs import (
    ANSWER_LIMIT,
    INPUTS_LIMIT,
    CloseRequest,
    OpenRequest,
    QueueLayout,
    RolloverCaps,
    RunOpened,
    RunOutcome,
    RunRequest,
)
from workflows.ports import RunsPort

SQL = Queries(__file__, "runs.sql")

POLICY = "tiers/1"  # version of the rules in activities/policy; part of the digests that approvals are bound to


class KeyInUse(Permanent):
    """This key belongs to a run with another goal; start the run with a new key."""


class InputsTooLarge(Permanent):
    """The inputs are too large for the start of a run; store them elsewhere and pass a reference."""


class Runs(RunsPort):
    """Admits and closes runs in Postgres."""

    def __init__(
        self,
        database: Database,
        agents: Agents,
        queues: QueueLayout,
        rollover: RolloverCaps | None = None,
        alarms: AlarmFactors | None = None,
    ) -> None:
        self._database = database
        self._agents = agents
        self._queues = queues
        self._rollover = rollover or RolloverCaps()
        self._alarms = alarms or AlarmFactors()
        self._reaper = Reaper(database)
        self._engine = OwnEngine()
        self._ledger = Ledger(database)
        self._rollbacks = Rollbacks(database)

    @activity.defn(name="runs.open")
    async def open(self, request: OpenRequest) -> RunOpened:
        """Admit a run with the agent's current version. Repeated with the same key, it returns the same run.

        Raises CapReached if no running slot is left.
        """
        delegated = await find_delegated(self._database, request.run_id)
        request = delegated.request(request) if delegated else request
        limits: Any = await SQL["caps"].row(
            self._database, tenant=request.request.tenant, agent=request.request.agent, most=LOOKED_AT, least=FEWEST
        )
        terms = await self._terms(request, delegated, stored_rules(limits["caps"]))
        terms = terms.with_alarms(limits["typical"], self._alarms)
        row = await self._admit(request, terms, limits["caps"])
        opened = RunOpened(
            agent_version=row["agent_version"],
            policy_version=row["policy_version"],
            mode=row["mode"],
            budget=Budget.model_validate_json(row["budget"]),
            queues=self._queues,
            rollover=self._rollover,
            next_seq=1,
            rollback=is_rollback(request.run_id),
            on_failure=None if is_rollback(request.run_id) else terms.agent.definition.on_failure,
            agents_above=tuple(terms.ancestors.agents_above),
            finished=RunOutcome.model_validate_json(row["outcome"]) if row["outcome"] else None,
            on_budget=row["on_budget"],
            loop_rules=1,
        )
        if opened.finished is None:
            opened = opened.model_copy(update={"next_seq": await self._write_goal(request, delegated)})
            await self._log(request.run_id, opened)
        return opened

    @activity.defn(name="runs.close")
    async def close(self, request: CloseRequest) -> RunOutcome:
        """Store the outcome of a run. If the run is closed already, return the stored outcome."""
        unfinished = await SQL["unfinished"].rows(self._database, run_id=request.run_id)
        outcome = RunOutcome(
            status=request.ending.status,
            reason=": ".join(part for part in (request.ending.rule, request.ending.reason) if part),
            answer=await self._answer(request) if request.ending.status == "completed" else "",
            steps=request.steps,
            spent=request.spent.plus(request.delegated).for_people(),
        )
        unknown_outcomes = [
            OutcomeUnknown(call_id=call["call_id"], tool=call["tool"][:64], reason=f"the run ended: {outcome.reason}")
            for call in unfinished
            if call["state"] == "claimed" and call["contract"] != "pure"
        ]
        facts = (*request.journal, *unknown_outcomes, RunClosed(ending=request.ending))
        trace = Trace(request.run_id, facts, step=request.steps)
        row = await SQL["close"].row(
            self._database,
            run_id=request.run_id,
            status=request.ending.status,
            outcome=outcome.model_dump_json(),
            minutes=minutes_used(request.spent),
            **_missing_results(unfinished),
            **trace.columns,
        )
        if row is not None and row["closed"]:
            trace.emit()
            return outcome
        earlier = await SQL["outcome"].row(self._database, run_id=request.run_id)
        if earlier is None:
            await note_never_admitted(self._database, request.run_id, request.ending)
        return RunOutcome.model_validate_json(earlier["outcome"]) if earlier and earlier["outcome"] else outcome

    @activity.defn(name="runs.reap")
    async def reap(self) -> ReapReport:
        """Close runs that Temporal does not run any more, then reconcile holds that were never settled."""
        report = await self._reaper.reap(activity.client(), self.close)
        await self._ledger.reconcile()
        return report

    async def _terms(self, request: OpenRequest, delegated: Delegated | None, caps: tuple[Rule, ...]) -> AdmissionTerms:
        """The terms of a run: from the request, the delegation (sub-agent), or the rollback's order.

        A rollback runs with the agent version of the run that it undoes.
        """
        run_request = request.request
        if delegated:
            return AdmissionTerms.of_delegated(await self._agents.version(delegated.agent_version), delegated, caps)
        if not is_rollback(request.run_id):
            return AdmissionTerms.of_request(await self._agents.current(run_request.agent), run_request, caps)
        rollback = await self._rollbacks.find(request.run_id)
        if run_request != rollback.request:
            raise KeyInUse(f"{request.run_id} is a rollback, and can only be started with `stanchion rollback`")
        terms = AdmissionTerms.of_request(await self._agents.version(rollback.agent_version), run_request, caps)
        return terms.with_calls(rollback.calls)

    async def _admit(self, request: OpenRequest, terms: AdmissionTerms, caps: str | None) -> Any:
        run_request, goal_digest = request.request, text_digest(_goal_text(request.request))
        windows = run_windows(request, terms.agent, terms.budget, caps)
        with naming_breaches(windows):
            row = await SQL["admit"].row(
                self._database,
                run_id=request.run_id,
                chain_id=request.chain_id,
                agent=run_request.agent,
                agent_version=terms.agent.version,
                tenant=run_request.tenant,
                requester=run_request.requester,
                goal_digest=goal_digest,
                mode=terms.mode,
                on_budget=terms.on_budget,
                budget=terms.budget.model_dump_json(),
                policy_version=sha256_hex([POLICY, terms.mode, terms.budget.model_dump(mode="json")])[:16],
                wanted=window_arguments(windows),
                hold_seconds=float(SECONDS),
                engine=await self._engine.name(),
                **terms.ancestors.columns,
            )
        if row is None or row["goal_digest"] != goal_digest or row["agent"] != run_request.agent:
            raise KeyInUse(f"{request.run_id} was started before with another goal or agent; use another key")
        return row

    async def _write_goal(self, request: OpenRequest, delegated: Delegated | None) -> int:
        if delegated:
            return await write_task(self._database, request.run_id, delegated)
        columns = vars(stored((Text(text=_goal_text(request.request)),)))
        await TRANSCRIPT["append"].row(
            self._database, run_id=request.run_id, seq=0, kind="goal", origin="user", **columns
        )
        return 1

    async def _log(self, run_id: str, opened: RunOpened) -> None:
        trace = Trace(run_id, (opened,))
        columns = {"steps": [None], "call_ids": [None], **trace.columns}
        await SQL["log"].row(self._database, run_id=run_id, **columns)
        trace.emit()

    async def _answer(self, request: CloseRequest) -> str:
        """All that the model said since its last calls: parts of one answer, and answers that a message overtook.

        If it said nothing since, what it said beside those calls.
        """
        parts: list[str] = []
        for row in await SQL["last_responses"].rows(self._database, run_id=request.run_id):
            blocks = decode(row).blocks
            has_calls = any(isinstance(block, ToolCall) for block in blocks)
            if has_calls and parts:
                break
            text = "\n\n".join(block.text for block in blocks if isinstance(block, Text) and block.text.strip())
            if text:
                parts[:0] = [text, "" if row["stop_reason"] == "max_tokens" else "\n\n"]
            if has_calls:
                break
        return _shortened("".join(parts).rstrip("\n"))


def _shortened(answer: str) -> str:
    """The answer, at most ANSWER_LIMIT characters."""
    note = f"… ({len(answer)} characters; all of it is in the transcript)"
    return answer if len(answer) <= ANSWER_LIMIT else answer[: ANSWER_LIMIT - len(note)] + note


def _goal_text(request: RunRequest) -> str:
    """The first message for the model: the goal, and the inputs as JSON. Raises InputsTooLarge."""
    if not request.inputs:
        return clean_text(request.goal)
    inputs = json.dumps(request.inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if len(inputs) > INPUTS_LIMIT:
        raise InputsTooLarge(f"inputs are {len(inputs)} characters of JSON, at most {INPUTS_LIMIT} are allowed")
    return clean_text(f"{request.goal}\n\nInputs:\n{inputs}")


def _missing_results(unfinished: list[Any]) -> dict[str, Any]:
    """Result rows for all calls without a result: in a transcript, every call has exactly one."""
    texts = {
        None: "Not performed: the run ended first.",
        "waiting": "The wait, or the work of its sub-agent, was cut short: the run ended.",
    }
    unknown = "Outcome unknown: the run ended while this call was under way."
    contents = [
        json.dumps([ToolResult(call_id=c["call_id"], text=texts.get(c["state"], unknown), is_error=True).model_dump()])
        for c in unfinished
    ]
    return {
        "seqs": [c["seq"] for c in unfinished],
        "call_ids": [c["call_id"] for c in unfinished],
        "contents": contents,
    }
