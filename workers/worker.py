"""The worker process: which activities each role serves, and how a worker starts, runs and stops."""

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

GRACE = timedelta(seconds=20)  # how long calls in flight may go on after a worker is asked to stop
STICKY = timedelta(seconds=2)  # after a worker dies, a run it had cached waits this long before another worker takes it
THROTTLE = timedelta(seconds=0.5)  # minimum time between two heartbeats; cancellations arrive in heartbeat replies
EAGER = 16  # activities per workflow task that start in the same worker without a round trip to the server
RUN_KB = 200  # memory of one cached run, rounded up: `make bench ARGS=parked` measures 0.15 MB
WORKFLOWS = (AgentWorkflow, ReaperWorkflow, DrillWorkflow)


@dataclass
class Parts:
    """The implementations of the ports in one process, and their connections."""

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
        """Close all connections."""
        await self.session.close()
        await self.watch.close()
        await self.providers.close()
        await self.database.close()

    def activities(self, role: Role) -> list[Callable[..., Any]]:
        """Return the activities that a role serves."""
        match role:
            case "workflow":
                return []
            case "model":
                return [self.models.plan, self.reviews.give]
            case "tools":
                return [self.gateway.call]
            case "operations":
                runs = self.runs
                bookkeeping = (runs.open, runs.close, runs.reap, self.budgets.weigh, self.approvals.record)
                return [*bookkeeping, self.drills.run, self.undo.start]


def build(settings: Settings, database_url: str, checkpoint: Checkpoint = no_checkpoint) -> Parts:
    """Create the implementations and connect them to each other. Opens no connection."""
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
    # Caches that the roles of this process share, so that the tools role need not load what the model role has loaded.
    transcripts = Transcripts(database)
    steps = PlannedSteps()
    return Parts(
        database=database,
        providers=providers,
        agents=agents,
        runs=Runs(database, agents, settings.layout, settings.rollover, settings.alarms),
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
    """Return one Temporal worker per task queue that these roles serve. Tests pass `options` to every Worker."""
    by_queue: dict[str, list[Callable[..., Any]]] = {}
    for role in roles:
        for queue in _task_queues(role, settings):
            by_queue.setdefault(queue, []).extend(parts.activities(role))
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
    """Run one worker process until `stop` is set. Calls `ready` once it serves.

    The process holds a lock in Postgres that shows that it lives, and takes over the runs of dead workers. A process
    with only the workflow role does neither and never connects to Postgres; if it dies, its runs go on after Temporal's
    time-outs.
    """
    workers = make_workers(client, settings, parts, roles, **options)
    if set(roles) != {"workflow"}:
        queues = [worker.task_queue for worker in workers]
        await parts.session.start(queues, Takeover(client, parts.database, parts.session.worker_id).take_over)
    await run_workers(workers, stop, ready)


def cached_runs(settings: Settings) -> int:
    """Return how many runs a worker caches. A run that is not cached is replayed at its next workflow task."""
    return max(settings.cache_mb * 1024 // RUN_KB, 1)


async def run_workers(workers: Sequence[Worker], stop: asyncio.Event, ready: Callable[[], None] | None = None) -> None:
    """Run until `stop` is set, then let calls in flight finish. If a worker fails, raises its error."""
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        if ready:
            ready()
        await stop.wait()


def _task_queues(role: Role, settings: Settings) -> tuple[str, ...]:
    match role:
        case "model":
            return (settings.queues.model or settings.task_queue,)
        case "tools":
            return (settings.queues.tools or settings.task_queue,)
        case "workflow":
            return (settings.task_queue,)
        case "operations":  # the main queue opens runs, and serves those that were opened without a queue for the rest
            return (settings.task_queue, str(settings.layout.operations))
