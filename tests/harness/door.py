"""`Door`: the parts of one worker on a test's database, without Temporal. The test itself plays the workflow.

Runs are opened, steps planned and decisions recorded by the product's own activities, called as functions.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from activities.agents.definition import AgentDefinition
from activities.agents.versions import AgentVersion, resolve
from activities.gateway.execution.execution import Checkpoint, no_checkpoint
from activities.model.provider import Message
from activities.policy.cedar.store import SQL as POLICIES
from activities.policy.cedar.store import version_of
from activities.tools.context import ToolContext
from tests.harness.databases import name_of
from tests.harness.models import said_by_people
from tests.harness.stanchion import unique
from tests.harness.toolbox import WITNESS
from workers.settings import Settings
from workers.worker import Parts, build
from workflows.contracts.approvals import Decision, DecisionReceipt, RecordRequest
from workflows.contracts.calls import CallRequest, CallResult, NeedsApproval, Unknown
from workflows.contracts.model import PlanRequest
from workflows.contracts.runs import OpenRequest, RunRequest

TURNS: dict[str, dict[str, Any]] = {}  # goal -> what the model says next

Planned = tuple[str, dict[str, Any]]  # a tool and its arguments


def says_what_the_test_wants(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """The turn that the test put there for the run with this goal."""
    return TURNS[said_by_people(messages)[0]]


@dataclass(frozen=True)
class Call:
    """A planned call, ready for the gateway of any worker."""

    run_id: str
    call_id: str

    @property
    def request(self) -> CallRequest:
        """What the workflow asks of the gateway."""
        return CallRequest(run_id=self.run_id, call_id=self.call_id)

    @property
    def happened(self) -> int:
        """How often its effect happened, as the tool itself saw it."""
        return WITNESS[ToolContext(run_id=self.run_id, call_id=self.call_id, agent="", tenant="").idempotency_key]


@dataclass
class Door:
    """One worker's parts. `another` makes the same of another worker, which remembers nothing."""

    url: str
    parts: Parts
    _doors: list["Door"] = field(default_factory=list)
    _seqs: dict[str, tuple[int, int]] = field(default_factory=dict)  # run -> its last step, and its next seq

    @classmethod
    def make(cls, url: str, checkpoint: Checkpoint = no_checkpoint) -> "Door":
        """The parts of a worker that takes unsigned decisions."""
        settings = Settings(dangerously_accept_unsigned_decisions=True, forbid_real_model_calls=True)
        return cls(url, build(settings, url, checkpoint))

    def another(self, checkpoint: Checkpoint = no_checkpoint, url: str | None = None) -> "Door":
        """Another worker's, on the same database unless told otherwise; closed together with this one."""
        self._doors.append(Door.make(url or self.url, checkpoint))
        return self._doors[-1]

    async def close(self) -> None:
        """Close what is open."""
        for door in self._doors:
            await door.close()
        await self.parts.close()

    # ── what a test starts from ─────────────────────────────────────────────────────────────────────────────────────

    async def publish(self, *tools: str, name: str = "", module: str = "tests.harness.toolbox", **more: Any) -> str:
        """Publish an agent with these toolbox tools; returns its name."""
        definition = {
            "name": name or unique("agent"),
            "instructions": "Do as the test says.",
            "model": f"scripted:{__name__}:{says_what_the_test_wants.__name__}",
            "tools": [{"module": module, "use": list(tools)}],
            **more,
        }
        version = await self.parts.agents.publish(resolve(AgentDefinition.model_validate(definition), "."))
        return version.definition.name

    async def version_of(self, agent: str) -> AgentVersion:
        """The version that a new run of this agent gets."""
        return await self.parts.agents.current(agent)

    async def open(self, agent: str, goal: str = "Do it.", **request: Any) -> str:
        """Open a run; returns its id. The goal gets a mark of its own, by which its turns are found."""
        run_id = f"agent/{agent}/{unique('run')}"
        wanted = RunRequest(
            agent=agent, goal=f"{goal} ({run_id})", **({"tenant": "acme", "requester": "ana"} | request)
        )
        opened = await self.parts.runs.open(OpenRequest(run_id=run_id, chain_id=run_id, request=wanted))
        self._seqs[run_id] = (0, opened.next_seq)
        return run_id

    async def plan(self, run_id: str, *calls: Planned) -> list[Call]:
        """One step of the run, in which the model makes these calls."""
        goal = (await self.rows("SELECT content FROM transcript WHERE run_id = $1 AND seq = 0", run_id))[0]["content"]
        step, seq = self._seqs[run_id]
        turn = {"tools": [{"name": name, "input": arguments} for name, arguments in calls]}
        TURNS[text_of(goal)] = turn
        plan = await self.parts.models.plan(PlanRequest(run_id=run_id, step=step + 1, next_seq=seq))
        self._seqs[run_id] = (step + 1, plan.next_seq)
        return [Call(run_id, call.call_id) for call in plan.calls]

    async def one(self, agent: str, tool: str, *, goal: str = "Do it.", request: Any = None, **arguments: Any) -> Call:
        """The only call of a new run."""
        return (await self.plan(await self.open(agent, goal, **(request or {})), (tool, arguments)))[0]

    # ── what a test does ────────────────────────────────────────────────────────────────────────────────────────────

    async def call(self, call: Call) -> CallResult:
        """One attempt at a call, by this worker's gateway."""
        return await self.parts.gateway.call(call.request)

    async def asked(self, call: Call) -> NeedsApproval:
        """One attempt at a call, which has to be asked about."""
        answer = await self.call(call)
        assert isinstance(answer, NeedsApproval), answer
        return answer

    async def decide(
        self, asked: NeedsApproval | Unknown, run_id: str, verdict: Any = "approve", **more: Any
    ) -> DecisionReceipt:
        """One person's answer, by this worker's approvals."""
        decision = Decision(approval_id=asked.approval_id, verdict=verdict, **({"by": "lee"} | more))
        return await self.parts.approvals.record(RecordRequest(run_id=run_id, decision=decision))

    async def approved(self, call: Call, **more: Any) -> NeedsApproval:
        """A call that was asked about and that someone said yes to."""
        asked = await self.asked(call)
        receipt = await self.decide(asked, call.run_id, **more)
        assert (receipt.answer, receipt.closes) == ("accepted", True), receipt
        return asked

    async def rows(self, sql: str, *arguments: Any) -> list[Any]:
        """Rows of the database."""
        return list(await (await self.parts.database.pool()).fetch(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        """The first column of the first row."""
        return await (await self.parts.database.pool()).fetchval(sql, *arguments)

    async def execute(self, *statements: str) -> None:
        """Statements, one after the other."""
        for statement in statements:
            await (await self.parts.database.pool()).execute(statement)

    async def put_policy(self, scope: str, text: str) -> str:
        """Put a policy in force unchecked, as one would be that was set before some check was there."""
        version = version_of(scope, text, 0)
        await POLICIES["put"].row(
            self.parts.database, version=version, scope=scope, text=text, money_floor=0, by="the test"
        )
        return version


def text_of(content: str) -> str:
    """The text of the only block of a transcript row."""
    return str(json.loads(content)[0]["text"])


async def own_clock(url: str) -> None:
    """Give a database a clock that a test moves with `UPDATE clock SET ahead = …`: our statements' now(), not Python's.

    Holds for connections that are made afterwards.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"""
            CREATE TABLE public.clock (ahead interval NOT NULL);
            INSERT INTO public.clock VALUES ('0');
            CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE
                AS 'SELECT pg_catalog.now() + ahead FROM public.clock';
            ALTER DATABASE "{name_of(url)}" SET search_path = public, pg_catalog;
            """
        )
    finally:
        await connection.close()
