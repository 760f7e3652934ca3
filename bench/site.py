"""Where measuring happens: a real Temporal, a real Postgres, workers in processes of their own; and its end."""

import asyncio
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistoryEventFilterType

from activities.agents.versions import Agents
from activities.storage.database import Database
from bench import agent
from bench.bare import TABLE
from workers.database import prepare_database
from workers.plugin import stanchion_plugin
from workers.services import Home, reach, register_search_attributes, stop_services
from workers.services.home import PROJECT_ROOT
from workers.services.postgres import ensure_postgres
from workers.services.processes import tail_of
from workers.services.temporal import ensure_temporal
from workflows.search import SEARCH_ATTRIBUTES

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
OURS, BARE, COMMITTING = "stanchion", "bare", "committing"
# A benchmark acts on nothing that the person who runs it has configured.
OTHERS = frozenset(("DATABASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"))


@dataclass
class WorkerProcess:
    """A worker that runs elsewhere."""

    kind: str
    queue: str
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def cpu(self) -> float:
        """Seconds of CPU that it has used, in all its threads."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def rss(self) -> int:
        """Bytes of memory that it holds."""
        return int(psutil.Process(self.pid).memory_info().rss)

    async def reading(self) -> dict[str, Any]:
        """What it has measured until now, if it was told to measure."""
        assert self.process.stdout
        os.kill(self.pid, signal.SIGUSR1)
        said = await asyncio.wait_for(self.process.stdout.readline(), READY_SECONDS)
        found: dict[str, Any] = json.loads(said)
        return found

    def kill(self) -> None:
        """End it as a crash would."""
        os.kill(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order; what does not end in time is killed."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@dataclass
class Site:
    """Services, a client and the workers that were started."""

    root: Path
    client: Client
    address: str
    database_url: str
    database: Database
    versions: dict[str, str]
    profiles: Path | None = None
    workers: list[WorkerProcess] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def name(self, prefix: str) -> str:
        """A name that nothing else here has."""
        return f"{prefix}-{next(self._numbers)}"

    async def worker(self, kind: str, queue: str | None = None, measure: str | None = None) -> WorkerProcess:
        """A worker that is ready: `stanchion`, or `bare` for both bare workflows. `measure`: see bench/worker.py."""
        name, queue = self.name("worker"), queue or self.name(kind)
        order = {
            "kind": OURS if kind == OURS else BARE,
            "address": self.address,
            "database": self.database_url,
            "queue": queue,
            "measure": measure,
            "profile": str(self.profiles / f"{name}-{kind}.txt") if self.profiles else None,
        }
        with (self.root / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.worker", json.dumps(order)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=PROJECT_ROOT,
                env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
            )
        started = WorkerProcess(kind, queue, process)
        self.workers.append(started)
        assert process.stdout
        said = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)
        if said.strip() != b"ready":
            raise RuntimeError(f"the worker did not start:\n{tail_of(Path(log.name))}")
        return started

    async def start(
        self, worker: WorkerProcess, steps: int, size: int = 4_096, delay: float = 0.0
    ) -> WorkflowHandle[Any, Any]:
        """A run of `steps` steps on `worker`'s queue; `size` and `delay` are for Stanchion's own runs."""
        if worker.kind == OURS:
            order: dict[str, Any] = {"agent": agent.NAME, "goal": agent.goal(steps, size, delay)}
            return await self.client.start_workflow(
                "AgentWorkflow", order, id=f"agent/{agent.NAME}/{self.name('run')}", task_queue=worker.queue
            )
        kind = "BareWorkflow" if worker.kind == BARE else "CommittingWorkflow"
        return await self.client.start_workflow(
            kind, {"steps": steps}, id=self.name(worker.kind), task_queue=worker.queue
        )

    async def run(self, worker: WorkerProcess, steps: int, size: int = 4_096) -> str:
        """Such a run, done. Returns its id; raises if it did not do all of its steps."""
        handle = await self.start(worker, steps, size)
        check(await handle.result(), steps)
        return handle.id


def check(outcome: Any, steps: int) -> None:
    """Raises unless `outcome` is that of a run that did all of its steps: a figure of a failed run is no figure."""
    counted = (outcome["status"], outcome["steps"]) if isinstance(outcome, dict) else ("completed", outcome)
    if counted != ("completed", steps):
        raise RuntimeError(f"a run of {steps} steps ended with {outcome}")


@dataclass(frozen=True)
class Chain:
    """All histories of one workflow id, from its first run over every continue-as-new."""

    runs: int
    events: int
    size: int  # bytes, as the server counts them


async def chain(client: Client, first: WorkflowHandle[Any, Any]) -> Chain:
    """The histories that began with `first`."""
    runs = events = size = 0
    run_id = first.first_execution_run_id or first.result_run_id
    while run_id:
        handle = client.get_workflow_handle(first.id, run_id=run_id)
        described = await handle.describe()
        info = described.raw_description.workflow_execution_info
        runs, events, size = runs + 1, events + info.history_length, size + info.history_size_bytes
        run_id = None
        if described.status == WorkflowExecutionStatus.CONTINUED_AS_NEW:
            async for event in handle.fetch_history_events(
                event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT
            ):
                run_id = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return Chain(runs, events, size)


@asynccontextmanager
async def site(profiles: Path | None = None) -> AsyncIterator[Site]:
    """Everything up, in a folder of its own; everything down at the end, by process id.

    `profiles` is a folder that gets a profile of each worker.
    """
    with tempfile.TemporaryDirectory(prefix="stanchion-bench-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        _forget_configuration(root)
        home = Home(root / "home")
        try:
            async with _open(root, home) as opened:
                opened.profiles = profiles
                yield opened
        finally:
            await stop_services(home)


@asynccontextmanager
async def _open(root: Path, home: Home) -> AsyncIterator[Site]:
    temporal, postgres = await asyncio.gather(
        ensure_temporal(home, search_attributes=SEARCH_ATTRIBUTES, prefer_default_ports=False, progress=say),
        ensure_postgres(home, None, say),
    )
    await register_search_attributes(await reach(temporal), SEARCH_ATTRIBUTES)
    client = await Client.connect(temporal.address, namespace=temporal.namespace, plugins=[stanchion_plugin()])
    await prepare_database(postgres.url)
    database = Database(postgres.url)
    await (await database.pool()).execute(TABLE)
    await Agents(database).publish(agent.version())
    opened = Site(root, client, temporal.address, postgres.url, database, {"postgres": postgres.version})
    try:
        yield opened
    finally:
        await asyncio.gather(*(worker.stop() for worker in opened.workers))
        await database.close()


def _forget_configuration(root: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("TEMPORAL_", "STANCHION_")) or name in OTHERS]:
        if name != "STANCHION_CACHE":  # where the Temporal CLI was put
            del os.environ[name]
    empty = root / "temporal.toml"
    empty.touch()
    os.environ["TEMPORAL_CONFIG_FILE"] = str(empty)


def say(line: str) -> None:
    """Talk goes to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
