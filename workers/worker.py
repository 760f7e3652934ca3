"""The worker process: which activities each role brings, and how a worker starts, runs and stops."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from temporalio.client import Client
from temporalio.worker import Worker

from activities.agents.versions import Agents
from activities.approvals.authority import Authority
from activities.approvals.record import Approvals
from activities.budgets.current_budget import Budgets
from activities.drills.drill import Drills
from activities.gateway.call import Gateway
from activities.gateway.execution.execution import Checkpoint, no_checkpoint
from activities.halts.in_flight import HaltWatch
from activities.liveness.session import WorkerSession, new_worker_id
from activities.liveness.takeover import Takeover
from activities.model.last_steps import PlannedSteps
from activities.model.plan import Models
from activities.model.providers import Providers
from activities.model.review import Reviews
from activities.runs.lifecycle import Runs
from activities.storage.database import Database
from activities.storage.transcript import Transcripts
from activities.undo.planner import RollbackPlanner
from activities.undo.start_rollback import Undo
from workers.build_id import build_id
from workers.settings import Settings
from workflows.agent import AgentWorkflow
from workflows.drill import DrillWorkflow
from workflows.reaper import ReaperWorkflow

Role = Literal["workflow", "model", "tools", "operations"]
ROLES: tuple[Role, ...] = get_args(Role)

GRACE = timedelta(seconds=20)  # for model calls and tools in flight, when a worker is asked to stop
STICKY = timedelta(seconds=2)  # how long a run waits for the worker that has it cached, once that worker is gone
THROTTLE = timedelta(seconds=0.5)  # heartbeats reach the server this often at most, and cancels come back with them
EAGER = 16  # activities handed to the same worker with the workflow task, without another round trip
RUN_KB = 200  # what a cached run takes of a worker's memory: 0.15 MB parked, measured by `make bench ARGS=parked`
WORKFLOWS = (AgentWorkflow, ReaperWorkflow, DrillWorkflow)


@dataclass
class Parts:
    """The implementations of the ports in one process, and what they hold open."""

    database: Database
    providers: Providers
    agents: Agents
    runs: Runs
    models: Models
    reviews: Reviews
    gateway: Gateway
    approvals: Approvals
    budgets: Budgets
    authority: Authority
    watch: HaltWatch
    drills: Drills
    undo: Undo
    session: WorkerSession

    async def close(self) -> None:
        """Close connections."""
        await self.session.close()
        await self.watch.close()
        await self.providers.close()
        await self.database.close()

    def activities(self, role: Role) -> list[Callable[..., Any]]:
        """What a role performs."""
        match role:
            case "workflow":
                return []
            case "model":
                return [self.models.plan, self.reviews.give]
            case "tools":
                return [self.gateway.call]
            case "operations":
                runs = self.runs
                kept = (runs.open, runs.close, runs.reap, self.budgets.weigh, self.approvals.record)
                return [*kept, self.drills.run, self.undo.start]


def build(settings: Settings, database_url: str, checkpoint: Checkpoint = no_checkpoint) -> Parts:
    """The implementations, wired together. Nothing is connected yet."""
    database = Database(database_url)
    agents = Agents(database)
    providers = Providers(
        anthropic_api_key=settings.anthropic_api_key,
        anthropic_base_url=settings.anthropic_base_url,
        forbid_real_calls=settings.forbid_real_model_calls,
        anthropic_silence=timedelta(seconds=settings.anthropic_silence_seconds),
    )
    authority = Authority(
        database, dangerously_accept_unsigned_decisions=settings.dangerously_accept_unsigned_decisions
    )
    session = WorkerSession(database_url, new_worker_id())
    watch = HaltWatch(database)
    transcripts = Transcripts(database)  # what one role has read, another in the same process need not read again
    steps = PlannedSteps()  # and what one has planned, the other need not load
    return Parts(
        database=database,
        providers=providers,
        agents=agents,
        runs=Runs(database, agents, settings.queues, settings.rollover, settings.alarms),
        models=Models(
            database,
            agents,
            providers,
            settings.prices,
            authority=authority,
            transcripts=transcripts,
            watch=watch,
            steps=steps,
            outage_times=settings.outages,
        ),
        reviews=Reviews(database, agents, providers, settings.prices, watch),
        gateway=Gateway(database, agents, settings.tool_settings, checkpoint, transcripts, watch, steps, session),
        approvals=Approvals(database, authority),
        budgets=Budgets(database),
        authority=authority,
        watch=watch,
        drills=Drills(database, agents, settings.task_queue),
        undo=Undo(database, RollbackPlanner(database, agents)),
        session=session,
    )


def make_workers(
    client: Client, settings: Settings, parts: Parts, roles: Sequence[Role], **options: Any
) -> list[Worker]:
    """One Temporal worker per task queue that these roles serve. `options` go to every Worker, for tests."""
    by_queue: dict[str, list[Callable[..., Any]]] = {}
    for role in roles:
        by_queue.setdefault(_queue_of(role, settings), []).extend(parts.activities(role))
    return [
        Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS if "workflow" in roles and queue == settings.task_queue else (),
            activities=activities,
            build_id=build_id(),
            identity=parts.session.worker_id,
            graceful_shutdown_timeout=GRACE,
            sticky_queue_schedule_to_start_timeout=STICKY,
            max_heartbeat_throttle_interval=THROTTLE,
            max_eager_activity_reservations_per_workflow_task=EAGER,
            **{"max_cached_workflows": cached_runs(settings), **options},
        )
        for queue, activities in by_queue.items()
    ]


async def work(
    client: Client,
    settings: Settings,
    parts: Parts,
    roles: Sequence[Role],
    stop: asyncio.Event,
    ready: Callable[[], None] | None = None,
    **options: Any,
) -> None:
    """Be one worker process until `stop` is set: registered, so that its death is noticed, and noticing others'.

    A worker of workflows alone never connects to Postgres: if it dies, its runs go on after Temporal's time-outs.
    """
    workers = make_workers(client, settings, parts, roles, **options)
    if set(roles) != {"workflow"}:
        queues = [worker.task_queue for worker in workers]
        await parts.session.start(queues, Takeover(client, parts.database, parts.session.worker_id).take_over)
    await run_workers(workers, stop, ready)


def cached_runs(settings: Settings) -> int:
    """How many runs a worker keeps in memory. One that is not kept is replayed when something happens to it."""
    return max(settings.cache_mb * 1024 // RUN_KB, 1)


async def run_workers(workers: Sequence[Worker], stop: asyncio.Event, ready: Callable[[], None] | None = None) -> None:
    """Run until `stop` is set, then let what is in flight finish. Raises what a worker died of."""
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        if ready:
            ready()
        await stop.wait()


def _queue_of(role: Role, settings: Settings) -> str:
    match role:
        case "model":
            return settings.queues.model or settings.task_queue
        case "tools":
            return settings.queues.tools or settings.task_queue
        case "workflow" | "operations":
            return settings.task_queue
