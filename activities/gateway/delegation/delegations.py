"""Starts a sub-agent for a call of the tool `delegate`, and reads its outcome when it has ended.

A call starts at most one sub-agent, whose run id is derived from the call. One transaction checks the limits, claims
the call, reserves the sub-agent's budget and stores its task. The outcome is read from Postgres; the sub-agent's answer
is not trusted.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from activities.agents.versions import Agents, AgentUnknown, AgentVersion
from activities.gateway.evaluation.checks import Candidate
from activities.gateway.evaluation.evidence import EvidenceReader
from activities.gateway.execution.effects import Effects
from activities.gateway.execution.results import Result, from_error, from_value
from activities.gateway.facts import CallFacts
from activities.ledger.budget_share import BudgetShare, allowed_budget, share_budget
from activities.ledger.caps import rules_of_run
from activities.ledger.windows import CapReached, Spender
from activities.policy.engine.modes import strictest_mode
from activities.storage.canonical import clean_text, text_digest
from activities.storage.database import Database
from activities.storage.queries import Queries
from workflows.contracts.budgets import Budget, BudgetRequest, Spent, micros_to_usd, requested_caps
from workflows.contracts.calls import Refusal, Spawn
from workflows.contracts.events import VerdictGiven
from workflows.delegation import DelegationCaps, may_delegate
from workflows.state import GOAL_LINE

SQL = Queries(__file__, "delegations.sql")

KEY_LIMIT = 200  # characters of a sub-agent's key; each level makes it longer, and Temporal ids have at most 1,000
TRIES = 3  # attempts to reserve a share of what is left; other calls may reserve from it at the same time


class NotDelegated(Exception):
    """The run may not delegate this task now; `refusal` tells the model why."""

    def __init__(self, refusal: Refusal, *, correctable: bool = False) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.correctable = correctable


@dataclass(frozen=True)
class Task:
    """A task to delegate: the agent, its goal, and the budget that the call asks for."""

    agent: str
    text: str
    budget: BudgetRequest

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "Task":
        """The task in the arguments of a call; they fit the tool's schema."""
        named = {name: arguments[name] for name in ("usd", "tokens", "tool_calls", "minutes") if arguments.get(name)}
        zero_calls = {"tool_calls": 0} if arguments.get("tool_calls") == 0 else {}
        return cls(arguments["agent"], clean_text(arguments["task"]), BudgetRequest(**named, **zero_calls))

    @property
    def digest(self) -> str:
        """Equal for the same agent with the same goal; in the format of `goals` in the query `standing`."""
        return f"{self.agent}:{text_digest(self.text).hex()}"


@dataclass(frozen=True)
class Delegations:
    """Starts delegations and reads their outcomes, in Postgres."""

    effects: Effects
    agents: Agents
    evidence: EvidenceReader

    @property
    def database(self) -> Database:
        """The database that holds the delegations."""
        return self.effects.database

    async def begin(self, call: Candidate, given: VerdictGiven) -> Spawn:
        """Claim the call and store the delegation. Raises NotDelegated, CapReached, ClaimLost."""
        assert call.spec
        task = Task.of(call.spec.arguments.validate(call.facts.effective_arguments))
        child = await self._find_agent(call, task)
        for tries_left in reversed(range(TRIES)):
            try:
                await self._begin_once(call, given, task, child)
                break
            except CapReached:  # without a requested budget, the share is computed again from what is left now
                if requested_caps(task.budget) or not tries_left:
                    raise
        return _spawn(call.facts, task.agent, task.text)

    async def existing(self, facts: CallFacts) -> Spawn:
        """The sub-agent of a call that was claimed before."""
        row: Any = await SQL["child"].row(self.database, run_id=facts.run_id, call_id=facts.call_id)
        return _spawn(facts, row["agent"], row["task"])

    async def outcome(self, facts: CallFacts) -> Result:
        """The result of a sub-agent that has ended; an error unless its run completed.

        If it has read private data, the parent run is marked as having read private data too.
        """
        row: Any = await SQL["child"].row(self.database, run_id=facts.run_id, call_id=facts.call_id)
        if row["private"]:
            by = f"the sub-agent {row['child_run_id']}"
            await SQL["has_read_private"].row(self.database, run_id=facts.run_id, by=by)
        return _result(facts, row)

    async def _find_agent(self, call: Candidate, task: Task) -> AgentVersion:
        delegates = call.agent.definition.delegates
        if task.agent not in delegates:
            reason = f"there is no agent {task.agent!r} to delegate to; there are: {', '.join(sorted(delegates))}"
            raise NotDelegated(Refusal(rule="delegation.agent", reason=reason), correctable=True)
        try:
            return await self.agents.current(task.agent)
        except AgentUnknown as error:
            raise NotDelegated(Refusal(rule="delegation.agent", reason=str(error))) from None

    async def _begin_once(self, call: Candidate, given: VerdictGiven, task: Task, child: AgentVersion) -> None:
        facts, spec = call.facts, call.spec
        assert spec
        run_id = child_run_id(facts, task.agent)
        evidence = await self.evidence.read(facts, call.agent)
        async with self.database.together() as database:
            await SQL["lock"].row(database, run_id=facts.run_id)
            state: Any = await SQL["standing"].row(database, run_id=facts.run_id, child=run_id)
            _refuse_too_many(call, state, task)
            share = _budget_share(call, state)
            own = Budget().model_copy(update=requested_caps(child.definition.budget))
            budget = share_budget(share, allowed_budget(own, call.agent.definition.delegates[task.agent]), task.budget)
            await replace(self.effects, database=database, transcripts=None).claim(
                facts,
                spec,
                given,
                approved_digest=facts.approved_digest,
                windows=share.windows_for_budget(budget, call.used_seconds),
                waits=True,
            )
            await SQL["begin"].row(
                database,
                child=run_id,
                run_id=facts.run_id,
                call_id=facts.call_id,
                agent=task.agent,
                agent_version=child.version,
                task=task.text,
                budget=budget.model_dump_json(),
                mode=strictest_mode(facts.mode, child.definition.mode),
                upto_seq=facts.response_seq,
                tainted_by=f"what {facts.run_id} had read" if evidence.tainted else None,
                suspect=evidence.suspect,
                private_by=f"what {facts.run_id} had read" if evidence.private else None,
            )


def child_run_id(facts: CallFacts, agent: str) -> str:
    """The run id of a call's sub-agent; the same at every attempt."""
    key = f"{facts.run_id.removeprefix('agent/').replace('/', '.')}.{facts.call_id}"
    if len(key) > KEY_LIMIT:
        key = f"{hashlib.sha256(facts.run_id.encode()).hexdigest()[:32]}.{facts.call_id}"
    return f"agent/{agent}/{key}"


def _refuse_too_many(call: Candidate, state: Any, task: Task) -> None:
    caps = DelegationCaps()
    for definition in (call.agent.definition, *(above.definition for above in call.above)):
        caps = definition.delegation.within(caps)
    refusal = may_delegate(
        len(call.above),
        state["width"],
        state["total"],
        task=task.digest,
        lineage=tuple(state["goals"]),
        caps=caps,
    )
    if refusal is None and state["taken"]:
        refusal = Refusal(
            rule="delegation.taken",
            reason="a run with this sub-agent's id exists already; delegate again with another call",
        )
    if refusal:
        raise NotDelegated(refusal)


def _budget_share(call: Candidate, state: Any) -> BudgetShare:
    facts = call.facts
    rules = rules_of_run(facts.caps, call.agent.definition.caps, facts.budget)
    used = {(unit, call_class): amount for unit, call_class, amount in json.loads(state["used"] or "[]")}
    return BudgetShare.of(
        Spender(facts.run_id, facts.agent, facts.tenant, facts.requester), rules, used, call.used_seconds
    )


def _spawn(facts: CallFacts, agent: str, task: str) -> Spawn:
    goal = " ".join(task.split())[:GOAL_LINE] or agent
    return Spawn(call_id=facts.call_id, run_id=child_run_id(facts, agent), agent=agent, goal=goal)


# ── the result ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _result(facts: CallFacts, row: Any) -> Result:
    """The sub-agent's answer, or the reason why there is none.

    The origin is `untrusted` if the sub-agent is tainted. Otherwise it is `model`, which is no anchor for a value.
    """
    origin = "untrusted" if row["tainted"] else "model"
    outcome = json.loads(row["outcome"]) if row["outcome"] else {}
    if row["status"] == "completed":
        result = from_value(outcome.get("answer") or "(it ended without an answer)", origin, facts.call_id)
    else:
        result = from_error(f"{row['agent']} did not finish its task: {_failure_reason(row, outcome)}", origin)
    if row["suspect"]:
        result = result.suspected(row["suspect"])
    used = json.loads(row["spent"]) if row["spent"] else None
    return _with_spent(result, used, outcome) if used is not None else result


def _failure_reason(row: Any, outcome: Mapping[str, Any]) -> str:
    if row["status"] is None:
        refused = json.loads(row["refused"]) if row["refused"] else {}
        because = ": ".join(filter(None, (refused.get("rule"), refused.get("reason"))))
        return f"it was never admitted{f' ({because})' if because else ''}; nothing was spent"
    if row["status"] == "open":
        return "its run cannot be watched: another workflow has its id; its whole reserved budget counts as spent"
    spent = json.loads(row["spent"])
    usd, tokens, calls = (spent.get(unit, 0) for unit in ("micro-usd", "tokens", "calls"))
    reason = outcome.get("reason") or "no reason given"
    return f"{row['status']} ({reason}). It spent {micros_to_usd(usd)} USD, {tokens} tokens, {calls} calls"


def _with_spent(result: Result, used: Mapping[str, int], outcome: Mapping[str, Any]) -> Result:
    minutes = (outcome.get("spent") or {}).get("minutes") or used.get("minutes", 0)
    spent = Spent(
        usd_micros=used.get("micro-usd", 0),
        tokens=used.get("tokens", 0),
        tool_calls=used.get("calls", 0),
        seconds=float(minutes) * 60,
    )
    return Result(**{**vars(result), "used": used, "spent": spent})
