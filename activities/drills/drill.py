"""`drills.run`: starts decoy runs, halts them, and fails if an effect arrives after the halt.

The runs, workers, tools and the halt are real; only the service that the runs act on is a decoy. Without `live`, the
drill halts a tenant that exists for this drill only, so that no other run is affected.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from activities.agents.definition import AgentDefinition
from activities.agents.versions import Agents, resolve
from activities.approvals.authority import Authority
from activities.drills import AGENT, decoy_tools
from activities.drills.decoy import Decoy
from activities.drills.decoy_client import LOOPBACK
from activities.drills.decoy_model import KINDS, SUB_AGENT, Kind, goal_of
from activities.drills.figures import Figures, figures_of, is_run_of
from activities.errors import Transient
from activities.halts.halts import Halt, HaltOrder, Halts, LiftOrder, LiftRefused
from activities.halts.notify_runs import CALL_SECONDS, notify_halted, notify_lifted
from activities.storage.canonical import canonical_json
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.tools.registry import tools_in
from workflows.contracts.drills import HARD_SECONDS, DrillReport, DrillRequest
from workflows.contracts.runs import WORKFLOW_TYPE
from workflows.ports import DrillsPort

SQL = Queries(__file__, "drills.sql")
LEFT_SECONDS = 300.0  # decoys of a killed drill time out this long after `ready_seconds + watch_seconds`
END_SECONDS = 30.0  # after this, decoys that did not end on a cancellation are terminated
LOOK_SECONDS = 0.1
WORK_SECONDS = 1.0  # all decoys act together for this long before the halt

Sign = Callable[[Mapping[str, Any]], tuple[str, str]]  # statement -> (key, signature)
log = structlog.get_logger("stanchion.drills")


class NotReady(Transient):
    """The decoys did not start to act in time; is a worker running?"""


class Drills(DrillsPort):
    """Runs drills and stores their reports in Postgres. `sign` signs a report; None leaves reports unsigned."""

    def __init__(self, database: Database, agents: Agents, task_queue: str, sign: Sign | None = None) -> None:
        self._database = database
        self._agents = agents
        self._queue = task_queue
        self._sign = sign

    def sign_with(self, sign: Sign) -> None:
        """Sign all further reports with `sign`."""
        self._sign = sign

    @activity.defn(name="drills.run")
    async def run(self, request: DrillRequest) -> DrillReport:
        """Run a drill, store its report and return it. Raises NotReady, StoreUnavailable."""
        return await self.play(activity.client(), request)

    async def play(self, client: Client, request: DrillRequest) -> DrillReport:
        """`run`, with this Temporal client."""
        for definition in definitions():
            await self._agents.publish(resolve(definition, "."))
        drill = RunningDrill(client, self._database, request, self._queue)
        report = await drill.play()
        await self._store(report, request.by)
        return report

    async def _store(self, report: DrillReport, by: str) -> None:
        statement = {"kind": "drill", "by": by, "report": report.model_dump(mode="json")}
        key, signature = self._sign(statement) if self._sign else (None, None)
        await SQL["store"].rows(
            self._database,
            drill_id=report.drill_id,
            passed=report.passed,
            report=report.model_dump_json(),
            by=by,
            proof="signature" if signature else "unsigned",
            key=key,
            signature=signature,
            statement=canonical_json(statement) if signature else None,
        )
        log.info("drill.ended", **report.model_dump(include={"drill_id", "passed", "p99_seconds", "late_effects"}))


def definitions() -> tuple[AgentDefinition, ...]:
    """The definitions of the decoys' agent and of its sub-agent."""
    return _definition(SUB_AGENT), _definition(AGENT, delegates=[SUB_AGENT])


def _definition(name: str, **more: Any) -> AgentDefinition:
    """The definition of a decoy agent; its budget is so large that it never stops a decoy."""
    tool_names = sorted(tools_in(decoy_tools))
    return AgentDefinition.model_validate(
        {
            "name": name,
            "description": "Acts on a decoy, so that the off switch can be drilled (`stanchion drill`).",
            "instructions": "Do as the script says.",
            "model": "scripted:activities.drills.decoy_model:turn",
            "tools": [{"module": decoy_tools.MODULE, "use": tool_names}],
            "approvals": {"tools": {"touch_if_allowed": {"always": True}}},
            "budget": {"tool_calls": 10_000, "steps": 10_000, "minutes": 60, "tokens": 10_000_000},
            **more,
        }
    )


class RunningDrill:
    """One drill while it runs."""

    def __init__(self, client: Client, database: Database, request: DrillRequest, queue: str) -> None:
        self._client, self._database, self._request, self._queue = client, database, request, queue
        self.name = f"drill-{secrets.token_hex(4)}"  # the drill's id and its tenant
        # Unless the drill is live, unsigned orders count: the tenant is new, and contains no run but the decoys.
        self._halts = Halts(database, Authority(database, dangerously_accept_unsigned_decisions=not request.live))
        self._decoy = Decoy()
        self._runs: dict[str, Kind] = {}

    async def play(self) -> DrillReport:
        """Start the decoys, wait until all act, halt them, watch for late effects, and clean up."""
        async with self._decoy.serving(self._request.host), self._decoys():
            await self._wait_until_ready()
            await asyncio.sleep(WORK_SECONDS)
            ordered_at = self._decoy.now()
            halt = await self._halts.order(self._order())
            committed_at = self._decoy.now()
            with suppress(RPCError):  # a halt works without Temporal
                await notify_halted(self._client, halt.notice)
            unhalted: Any = await SQL["blind"].row(self._database, tenant=self.name)
            await self._approve_open_calls()
            await asyncio.sleep(max(ordered_at + self._request.watch_seconds - self._decoy.now(), 0))
            in_flight = [(effect["run_id"], effect["call_id"]) for effect in halt.in_flight]
            figures = figures_of(self._decoy.hits, ordered_at, committed_at, in_flight, tuple(self._runs))
            outcomes = Counter[str](each.outcome for each in await self._halts.in_flight(halt.notice.halt_id))
        await SQL["let_go"].rows(self._database, tenant=self.name)
        lifted = await self._lift(halt)
        return self._report(halt, figures, committed_at - ordered_at, dict(outcomes), lifted, unhalted["runs"])

    # ── the decoys ──────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _decoys(self) -> AsyncIterator[None]:
        """Start the decoy runs, and end all of them when the context is left."""
        kinds = [kind for kind in KINDS if not kind.asks or self._request.host in LOOPBACK]
        handles: list[WorkflowHandle[Any, Any]] = []
        try:
            for number in range(self._request.runs):
                handles.append(await self._start(number, kinds[number % len(kinds)]))
            yield
        finally:
            await asyncio.gather(*(self._end(handle) for handle in handles))

    async def _start(self, number: int, kind: Kind) -> WorkflowHandle[Any, Any]:
        run_id = f"agent/{AGENT}/{self.name}-{number}"
        self._runs[run_id] = kind
        goal = goal_of(kind, self._decoy.url, run_id)
        start = {"agent": AGENT, "goal": goal, "tenant": self.name, "requester": self._request.by}
        time_limit = self._request.ready_seconds + self._request.watch_seconds + LEFT_SECONDS
        return await self._client.start_workflow(
            WORKFLOW_TYPE,
            start,
            id=run_id,
            task_queue=self._queue,
            execution_timeout=timedelta(seconds=time_limit),
            static_summary=f"a decoy of {self.name}",
        )

    async def _end(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Cancel a decoy, which then stores its own end. If it hangs, terminate it; the reaper then stores its end."""
        with suppress(RPCError):
            await handle.cancel(reason="the drill is over")
            try:
                async with asyncio.timeout(END_SECONDS):
                    await handle.result()
            except TimeoutError:
                await handle.terminate(reason="the drill is over")
            except Exception as error:
                log.warning("a decoy failed", run_id=handle.id, reason=str(error))

    async def _wait_until_ready(self) -> None:
        """Wait until every decoy acts, waits for a person, or sleeps. Raises NotReady."""
        expected_waiting = sum(not kind.acts for kind in self._runs.values())
        waiting = 0
        try:
            async with asyncio.timeout(self._request.ready_seconds):
                while (waiting := await self._count_waiting()) < expected_waiting or self._idle():  # noqa: ASYNC110 — a table
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            idle = len(self._idle()) + expected_waiting - waiting
            raise NotReady(f"{idle} of {len(self._runs)} decoys did not start to act; is a worker running?") from None

    def _idle(self) -> set[str]:
        """The acting decoys that have had no effect yet."""
        runs_with_hits = {hit.run_id for hit in self._decoy.hits}
        acting = {run_id for run_id, kind in self._runs.items() if kind.acts}
        return {run_id for run_id in acting if not any(is_run_of(each, run_id) for each in runs_with_hits)}

    async def _count_waiting(self) -> int:
        row: Any = await SQL["waiting"].row(self._database, tenant=self.name)
        return int(row["there"])

    async def _approve_open_calls(self) -> None:
        """Approve the calls that wait for a person: a halt must stop approved calls too."""
        for row in await SQL["open_approvals"].rows(self._database, tenant=self.name):
            decision = {"approval_id": row["approval_id"], "verdict": "approve", "by": f"{self.name}-approver"}
            with suppress(RPCError):
                handle = self._client.get_workflow_handle(row["run_id"])
                await handle.signal("decision", decision, rpc_timeout=CALL_SECONDS)

    # ── the halt ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _order(self) -> HaltOrder:
        scope = self._request.scope if self._request.live else "tenant"
        target = {"agent": AGENT, "tenant": self.name, "fleet": ""}[scope]
        return HaltOrder(scope=scope, target=target, by=self._request.by, reason=f"drill {self.name}")

    async def _lift(self, halt: Halt) -> bool:
        """Lift the halt if the drill may. The halt of a live drill needs people. Returns whether it is lifted."""
        try:
            result = await self._halts.lift(LiftOrder(halt_id=halt.notice.halt_id, by=self._request.by))
        except LiftRefused:
            return False
        if result.lifted and self._request.live:
            await notify_lifted(self._client, halt.notice)
        return result.lifted

    def _report(
        self, halt: Halt, figures: Figures, order_seconds: float, in_flight: dict[str, int], lifted: bool, unhalted: int
    ) -> DrillReport:
        expected = sum(kind.acts for kind in self._runs.values())
        failures = [
            f"{figures.late} effects came after the halt" if figures.late else "",
            f"the claim did not see the halt for {unhalted} runs" if unhalted else "",
            f"the last one came {figures.longest:.2f} s after the order" if figures.longest > HARD_SECONDS else "",
            f"only {figures.acting} of {expected} decoys acted before it" if figures.acting < expected else "",
        ]
        return DrillReport(
            drill_id=self.name,
            halt_id=halt.notice.halt_id,
            scope=self._request.scope if self._request.live else "tenant",
            live=self._request.live,
            runs=len(self._runs),
            acting=figures.acting,
            kinds=dict(Counter(kind.name for kind in self._runs.values())),
            p50_seconds=round(figures.p50, 3),
            p99_seconds=round(figures.p99, 3),
            max_seconds=round(figures.longest, 3),
            order_seconds=round(order_seconds, 3),
            effects=len(self._decoy.hits),
            late_effects=figures.late,
            in_flight=in_flight,
            lifted=lifted,
            passed=not any(failures),
            why="; ".join(filter(None, failures)),
        )
