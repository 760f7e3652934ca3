"""`model.plan`: one model call, stored before it is returned. A retry finds the stored answer and asks no model.

An answer that was billed but never arrived (the worker died while it streamed) is asked for again: the vendor's wire
has no idempotency key, so a crash may cost one answer twice, and never an effect.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.versions import Agents, AgentVersion
from activities.approvals.authority import Authority
from activities.boundary import attempt, beats, heartbeating, idle_seconds, waited_seconds, worked_seconds
from activities.budgets.alarms import Alarms
from activities.errors import Permanent, clip
from activities.halts.in_flight import HaltWatch, InFlightCall, StoppedByHalt
from activities.ledger.ledger import Ledger
from activities.ledger.windows import CapReached
from activities.model.billing import Bill, bill_for
from activities.model.cost_ceiling import CostCeiling, counted_bound, prompt_bound
from activities.model.errors import ModelAnswerGarbled, ModelSpeaksOtherwise, model_error
from activities.model.last_steps import CallPlanned, PlannedSteps, RunFacts, StepPlanned
from activities.model.outage_times import OutageTimes
from activities.model.pricing import Prices
from activities.model.provider import Completion, Message, OfferedTool, Prompt, Provider, Text, ToolCall, Usage
from activities.model.providers import Providers
from activities.model.reservations import ModelBudget, ModelReservation, ModelReservations, NextStep
from activities.model.transcript_messages import TranscriptMessages, WrittenMessages
from activities.model.turns import Turn, turn_of
from activities.model.vendor_outages import VENDOR_ERRORS, VendorAccount, VendorIsAway, VendorOutages
from activities.storage.canonical import canonical_json, clean, clean_text, sha256_hex
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.trace import Trace
from activities.storage.transcript import Stored, Transcripts, decode, row_of, stored
from activities.undo.orders import is_rollback
from activities.undo.planner import RollbackPlanner
from workflows.contracts.halts import HaltNotice
from workflows.contracts.model import Plan, PlannedCall, PlanRequest
from workflows.endings import BUDGET_REACHED
from workflows.ports import ModelPort
from workflows.similarity import significant_arguments, sketch_of

SQL = Queries(__file__, "model.sql")

OUT_OF_TIME = "the model's answer did not arrive within the run's active time"
GARBLED_TRIES = 5  # answers that may have been billed; a vendor that garbles five of them will not answer now
CALLS_PER_TURN = 64  # a turn that asks for more is a model gone wrong; the budget would refuse most of them anyway


class RunNotOpen(Permanent):
    """The run is over or was never opened; nothing more is planned for it."""


class Models(ModelPort):
    """Model calls, recorded in Postgres."""

    def __init__(
        self,
        database: Database,
        agents: Agents,
        providers: Providers,
        prices: Mapping[str, Mapping[str, object]] | None = None,
        *,
        authority: Authority | None = None,
        transcripts: Transcripts | None = None,
        watch: HaltWatch | None = None,
        steps: PlannedSteps | None = None,
        outage_times: OutageTimes = OutageTimes(),  # noqa: B008 — frozen
    ) -> None:
        self._database = database
        self._agents = agents
        self._providers = providers
        self._prices = Prices(prices)
        self._outages = VendorOutages(database, outage_times)
        self._spending = ModelReservations(Ledger(database))
        self._watch = watch or HaltWatch(database)
        self._alarms = Alarms(database)
        self._transcripts = transcripts or Transcripts(database)
        self._steps = steps or PlannedSteps()
        self._said = TranscriptMessages(database, authority or Authority(database), self._transcripts)
        self._undoing = RollbackPlanner(database, agents)

    @activity.defn(name="model.plan")
    async def plan(self, request: PlanRequest) -> Plan:
        """Ask the model for one step. Raises Transient and Permanent errors of `activities.model.errors`."""
        async with heartbeating():  # reading and storing included: a slow disk must not look like a dead worker
            try:
                async with asyncio.timeout(_seconds_left(request)):
                    plan = await self._plan(request)
                return plan.having(idle_seconds=idle) if (idle := idle_seconds()) else plan
            except StoppedByHalt as stopped:
                return Plan(next="halted", next_seq=request.next_seq, halt=stopped.halt)
            except VendorIsAway as error:
                return Plan(next="away", next_seq=request.next_seq, away=error.away)
            except TimeoutError:
                raise ApplicationError(OUT_OF_TIME, "budget.minutes", type=BUDGET_REACHED, non_retryable=True) from None

    async def _plan(self, request: PlanRequest) -> Plan:
        if (before := self._before(request)) and (plan := await self._planned_next(request, before)):
            return plan
        known = min(self._transcripts.known(request.run_id), request.next_seq)
        row = await SQL["begin_step"].row(self._database, run_id=request.run_id, step=request.step, from_seq=known)
        if row is None or row["status"] != "open":
            raise RunNotOpen(f"{request.run_id} is not open")
        if row["plan"]:
            return Plan.model_validate_json(row["plan"])
        if row["halt"]:
            raise StoppedByHalt(HaltNotice.model_validate_json(row["halt"]))
        flight = InFlightCall.of(request.run_id, row)
        return await self._watch.over(flight, self._planned(request, row))

    async def _planned(self, request: PlanRequest, row: Any) -> Plan:
        run = RunFacts.of(row)
        agent = await self._agents.version(run.agent_version)
        unread = _unread(row)
        self._transcripts.add(request.run_id, *map(decode, unread))
        written = WrittenMessages.of(each for each in unread if each["seq"] >= request.next_seq)
        seq = await self._said.write(request, run.tenant, written)
        if is_rollback(request.run_id):  # no model is asked, and nothing is paid for
            undo = await self._undoing.step(request.run_id, request.step)
            return await self._store(request, agent, run, seq, _Paid(undo, Bill(undo.usage, 0), turn_of(undo, ())))
        await self._alarms.tell(request.run_id, request.alarms, request.step)
        prompt, unseen = await self._prompt(request, agent, seq, row["seq_before"])
        before = Usage.model_validate_json(row["usage_before"]) if row["usage_before"] else None
        ceiling = self._ceiling(prompt, unseen, before, agent)
        account = self._providers.account(ceiling.model)
        await self._outages.check(request, account, row["outages"], waited_seconds())
        purse = await ModelBudget.of(request.run_id, row, self._agents)
        room, ceiling = await self._room(request, purse, prompt, ceiling, before)
        paid = await self._paid(request, account, room, prompt, ceiling)
        if row["outages"] or row["waits"]:
            await self._outages.answered(request.run_id, account)
        return await self._store(request, agent, run, seq, paid)

    # ── the next step of a run whose last step was planned here ─────────────────────────────────────────────────────

    def _before(self, request: PlanRequest) -> StepPlanned | None:
        """The step before, if it was planned here and this one has nothing to write or to read first."""
        before = self._steps.last(request.run_id)
        more = request.messages or request.notes or request.alarms or is_rollback(request.run_id)
        if before is None or before.step != request.step - 1 or more or attempt() > 1:
            return None
        return before if self._transcripts.known(request.run_id) == request.next_seq else None

    async def _planned_next(self, request: PlanRequest, before: StepPlanned) -> Plan | None:
        """The plan, if its run is as this worker knows it; else None, and nothing was done."""
        flight = InFlightCall.of(request.run_id, vars(before.run))
        return await self._watch.over(flight, self._reserved_and_planned(request, before))

    async def _reserved_and_planned(self, request: PlanRequest, before: StepPlanned) -> Plan | None:
        run = before.run
        agent = await self._agents.version(run.agent_version)
        prompt, unseen = await self._prompt(request, agent, request.next_seq, before.response_seq)
        ceiling = self._ceiling(prompt, unseen, before.usage, agent)
        account = self._providers.account(ceiling.model)
        purse = await ModelBudget.of(request.run_id, vars(run), self._agents)
        step = NextStep(request.run_id, request.step, request.next_seq, run.run_digest, account.scopes)
        room = await self._spending.reserve_next(step, purse, ceiling)
        if room is None:
            return None
        paid = await self._paid(request, account, room, prompt, ceiling)
        return await self._store(request, agent, run, request.next_seq, paid)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ceiling(
        self, prompt: Prompt, unseen: Sequence[Message], before: Usage | None, agent: AgentVersion
    ) -> CostCeiling:
        bound = prompt_bound(prompt.system, prompt.tools, unseen, before)
        return CostCeiling(self._prices, agent.definition.model, bound, prompt.max_output_tokens)

    async def _prompt(
        self, request: PlanRequest, agent: AgentVersion, seq: int, seq_before: int | None
    ) -> tuple[Prompt, Sequence[Message]]:
        """The prompt, and of its messages those that were not there when the step before was asked."""
        rows = await self._transcripts.read(request.run_id, seq)
        definition = agent.definition
        unseen = [row.message for row in rows if seq_before is None or row.seq > seq_before]
        prompt = Prompt.model_construct(  # built from parts that were validated when they were stored
            model=definition.model.partition(":")[2],
            system=definition.instructions,
            messages=tuple(row.message for row in rows),
            tools=offered(agent),
            max_output_tokens=definition.max_output_tokens,
            step=request.step,
            attempt=attempt(),
            base_dir=agent.source,
        )
        return prompt, unseen

    async def _room(
        self,
        request: PlanRequest,
        purse: ModelBudget,
        prompt: Prompt,
        ceiling: CostCeiling,
        before: Usage | None,
    ) -> tuple[ModelReservation, CostCeiling]:
        """What is reserved for the answer. An unknown price is refused before anything is bought.

        A budget with no room for an answer ends the run; no model is asked.
        """
        what = f"{request.run_id}/step:{request.step}"
        try:
            return await self._spending.reserve(what, purse, ceiling), ceiling
        except CapReached as reached:
            counted = await self._counted(prompt, ceiling, before)
            if counted is None:
                raise _budget_reached(reached) from None
        try:
            return await self._spending.reserve(what, purse, counted), counted
        except CapReached as reached:
            raise _budget_reached(reached) from None

    async def _counted(self, prompt: Prompt, ceiling: CostCeiling, before: Usage | None) -> CostCeiling | None:
        """The ceiling by the vendor's own count of the prompt; None if that is not known, or no lower."""
        provider, _ = self._providers.for_model(ceiling.model)
        counted = await provider.count(prompt)
        bound = ceiling.prompt_tokens if counted is None else counted_bound(counted, ceiling.prompt_tokens, before)
        return replace(ceiling, prompt_tokens=bound) if bound < ceiling.prompt_tokens else None

    async def _paid(
        self, request: PlanRequest, account: VendorAccount, room: ModelReservation, prompt: Prompt, ceiling: CostCeiling
    ) -> "_Paid":
        """The answer, paid from what was reserved for it. Raises VendorIsAway if waiting is all that is left to do."""
        provider, _ = self._providers.for_model(ceiling.model)
        try:
            async with self._spending.freed_if_refused(room):
                asked = prompt.model_copy(update={"max_output_tokens": room.output})
                answer = await self._ask(provider, asked, room.lost)
        except VENDOR_ERRORS as error:
            away = await self._outages.failed(request, account, error, waited_seconds())
            if away is None:
                raise
            raise VendorIsAway(away) from error
        bill = bill_for(answer, ceiling, room.output, self._prices)
        return _Paid(answer, bill, turn_of(answer, prompt.messages), room.hold)

    async def _ask(self, provider: Provider, prompt: Prompt, lost: int) -> Completion:
        """The answer. `lost`: answers to this prompt that came to nothing, and may have been billed."""
        try:
            return _checked_completion(await provider.complete(prompt, beats()))
        except ModelAnswerGarbled as error:
            if lost + 1 < GARBLED_TRIES:
                raise
            raise ApplicationError(clip(str(error)), type=type(error).__name__, non_retryable=True) from None

    async def _store(self, request: PlanRequest, agent: AgentVersion, run: RunFacts, seq: int, paid: "_Paid") -> Plan:
        completion, bill = paid.completion, paid.bill
        calls = [block for block in completion.blocks if isinstance(block, ToolCall)]
        plan = plan_of(request, agent, seq, paid)
        trace = Trace(request.run_id, (*request.messages, *request.journal, plan), step=request.step)
        response, note, columns = stored(completion.blocks), _note(paid.turn), _call_columns(plan, calls)
        row = await SQL["store_response"].row(
            self._database,
            run_id=request.run_id,
            step=request.step,
            seq=seq,
            plan=plan.model_dump_json(),
            model=completion.model,
            stop_reason=completion.stop_reason,
            usage=bill.usage.model_dump_json(),
            usd_micros=plan.usd_micros,
            hold=paid.hold,
            used=canonical_json({"tokens": plan.tokens, "micro-usd": plan.usd_micros}),
            note=note.content if note else None,
            **vars(response),
            **columns,
            **trace.columns,
        )
        if row is None:
            raise ModelAnswerGarbled("the step was stored by another attempt and is not visible yet")
        if not row["mine"]:
            return Plan.model_validate_json(row["plan"])
        trace.emit()
        self._transcripts.add(request.run_id, row_of(seq, "response", "model", response))
        if note:
            self._transcripts.add(request.run_id, row_of(seq + 1, "note", "trusted", note))
        self._remember(request, run, seq, paid, columns)
        return plan

    def _remember(
        self, request: PlanRequest, run: RunFacts, seq: int, paid: "_Paid", columns: Mapping[str, Any]
    ) -> None:
        """Remember the step for its calls and the next one, unless what people said has changed a fact of its run."""
        if is_rollback(request.run_id) or any(message.endorses for message in request.messages):
            return self._steps.forget(request.run_id)
        calls = zip(*(columns[name] for name in ("seqs", "tools", "arguments", "digests", "invalids")), strict=True)
        planned = (CallPlanned(request.step, *call) for call in calls)
        step = StepPlanned(run, request.step, seq, paid.bill.usage)
        self._steps.put(request.run_id, step, dict(zip(columns["call_ids"], planned, strict=True)))


@dataclass(frozen=True)
class _Paid:
    """An answer, what it is charged, and the hold that it is paid from; none where no model was asked."""

    completion: Completion
    bill: Bill
    turn: Turn
    hold: str = ""


def _budget_reached(reached: CapReached) -> ApplicationError:
    return ApplicationError(str(reached), reached.rule, type=BUDGET_REACHED, non_retryable=True)


def _seconds_left(request: PlanRequest) -> float | None:
    """How long this attempt may take: the run's active time, without what earlier attempts were at work."""
    return None if request.seconds_left is None else max(request.seconds_left - worked_seconds(), 0.1)


def _checked_completion(completion: Completion) -> Completion:
    """The completion, if the loop can act on it. Raises ModelSpeaksOtherwise, ModelAnswerGarbled."""
    calls = [block for block in completion.blocks if isinstance(block, ToolCall)]
    if completion.stop_reason == "tool_use" and not calls:
        raise model_error(ModelSpeaksOtherwise, "the model stopped to use a tool and named none")
    if len(calls) > CALLS_PER_TURN:
        raise ModelAnswerGarbled(f"the model asked for {len(calls)} tools in one turn, more than {CALLS_PER_TURN}")
    return completion


def offered(agent: AgentVersion) -> tuple[OfferedTool, ...]:
    """The tools of an agent as the model sees them."""
    return tuple(
        OfferedTool(name=tool.name, description=tool.description, input_schema=tool.input_schema)
        for tool in agent.tools
    )


def plan_of(request: PlanRequest, agent: AgentVersion, seq: int, paid: _Paid) -> Plan:
    """The small plan that the workflow gets for a completion whose response is stored at `seq`."""
    bill = paid.bill
    calls = [block for block in paid.completion.blocks if isinstance(block, ToolCall)]
    first = seq + 1 + (1 if paid.turn.note else 0)
    planned = tuple(_planned(agent, call, first + index) for index, call in enumerate(calls))
    return Plan(
        next=paid.turn.next,
        calls=planned,
        next_seq=first + len(planned),
        tokens=bill.usage.total,
        usd_micros=bill.usd_micros,
        estimated=bill.estimated,
        messages=len(request.messages),
        orders=len(request.journal),
    )


def _planned(agent: AgentVersion, call: ToolCall, seq: int) -> PlannedCall:
    known = agent.by_name.get(call.name)
    sketch = sketch_of(call.input, reads=known.parallel if known else False)
    return PlannedCall(
        call_id=call.call_id,
        seq=seq,
        tool=call.name[:64],
        digest=sha256_hex([call.name, significant_arguments(call.input), call.invalid])[:16],
        parallel=known.parallel if known else False,
        timeout=known.timeout if known else 60,
        sketch=sketch.bits,
        shape=sketch.shape,
    )


def _unread(row: Any) -> list[dict[str, Any]]:
    """The rows of the transcript that came with a row of `begin_step`, as columns."""
    names = ("seq", "kind", "origin", "call_id", "content", "suspect")
    columns = zip(*(row[f"{name}s"] or () for name in names), strict=True)
    return [dict(zip(names, each, strict=True)) for each in columns]


def _note(turn: Turn) -> Stored | None:
    return stored((Text(text=turn.note),)) if turn.note else None


def _call_columns(plan: Plan, calls: list[ToolCall]) -> dict[str, Any]:
    return {
        "call_ids": [call.call_id for call in plan.calls],
        "seqs": [call.seq for call in plan.calls],
        "tools": [clean_text(call.name) for call in calls],
        "arguments": [canonical_json(clean(call.input)) for call in calls],
        "digests": [sha256_hex([call.name, call.input, call.invalid]) for call in calls],
        "invalids": [call.invalid for call in calls],
    }
