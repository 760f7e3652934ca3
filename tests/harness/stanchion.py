"""`Stanchion`: a whole system for one test: its own database, task queue, agents and workers, on shared services."""

import asyncio
import itertools
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from activities.agents.definition import AgentDefinition
from activities.agents.versions import AgentVersion, resolve
from activities.gateway.execution.execution import Checkpoint, no_checkpoint
from workers.settings import Settings
from workers.worker import ROLES, Parts, build, make_workers, run_workers

T = TypeVar("T")
DEADLINE = 120.0  # seconds; generous, because the machine is small and busy
_numbers = itertools.count()


def unique(prefix: str) -> str:
    """A name no other test has."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


def is_unanswered(error: RPCError | WorkflowQueryFailedError) -> bool:
    """Whether a query was not answered in time: a worker answers it, and may still be starting or be busy."""
    if isinstance(error, RPCError):
        return error.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
    return "[TMPRL1101]" in str(error)  # the worker did not get to it within the SDK's two seconds


async def eventually(look: Callable[[], Awaitable[T]], what: str = "a condition", deadline: float = DEADLINE) -> T:
    """The first true value that `look` gives; a query without an answer is asked again. Fails with what it saw last."""
    give_up, seen = time.monotonic() + deadline, None
    while time.monotonic() < give_up:
        try:
            seen = await look()
        except (RPCError, WorkflowQueryFailedError) as error:
            if not is_unanswered(error):
                raise
        if seen:
            return seen
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {deadline} s; last seen: {seen!r}")


@dataclass
class Stanchion:
    """One test's system. Start with `up`, publish an agent, start runs."""

    client: Client
    database_url: str
    settings: Settings
    parts: Parts
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _workers: asyncio.Task[None] | None = None
    _files: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, client: Client, url: str, checkpoint: Checkpoint = no_checkpoint, **settings: Any) -> "Stanchion":
        """A system that is not running yet. Unsigned decisions count, unless a test says otherwise."""
        base = Settings(
            task_queue=unique("queue"),
            dangerously_accept_unsigned_decisions=True,
            forbid_real_model_calls=True,
        )
        chosen = replace(base, **settings)
        return cls(client, url, chosen, build(chosen, url, checkpoint))

    async def up(self, roles: Sequence[Any] = ROLES, **options: Any) -> "Stanchion":
        """Start the workers."""
        self._stop = asyncio.Event()
        started = asyncio.Event()
        workers = make_workers(self.client, self.settings, self.parts, roles, **options)
        self._workers = asyncio.create_task(run_workers(workers, self._stop, started.set))
        await asyncio.wait_for(started.wait(), DEADLINE)
        return self

    async def down(self) -> None:
        """Stop the workers; runs stay where they are."""
        if self._workers:
            self._stop.set()
            await asyncio.wait_for(self._workers, DEADLINE)
            self._workers = None

    async def close(self) -> None:
        """Stop the workers, close connections, remove files."""
        await self.down()
        await self.parts.close()
        for file in self._files:
            Path(file).unlink(missing_ok=True)  # noqa: ASYNC240 — a file of some bytes

    async def publish(self, turns: Sequence[dict[str, Any]] | str, *tools: str, **definition: Any) -> AgentVersion:
        """Publish an agent that plays `turns` (or is driven by a `module:function`) with these toolbox tools."""
        name = definition.pop("name", None) or unique("agent")
        module = definition.pop("module", "tests.harness.toolbox")
        model = turns if isinstance(turns, str) else f"scripted:{self._script_file(name, turns)}"
        agent = AgentDefinition.model_validate(
            {
                "name": name,
                "instructions": "Do as the script says.",
                "model": model,
                "tools": [{"module": module, "use": list(tools)}] if tools else [],
                **definition,
            }
        )
        return await self.parts.agents.publish(resolve(agent, "."))

    def _script_file(self, name: str, turns: Sequence[dict[str, Any]]) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", prefix=f"{name}-", delete=False) as file:
            json.dump(list(turns), file)  # JSON is YAML
        self._files.append(file.name)
        return file.name

    async def start(self, agent: AgentVersion | str, goal: str = "do it", **request: Any) -> WorkflowHandle[Any, Any]:
        """Start a run by the public contract."""
        name = agent if isinstance(agent, str) else agent.definition.name
        key = request.pop("key", None) or unique("run")
        return await self.client.start_workflow(
            "AgentWorkflow",
            {"agent": name, "goal": goal, **request},
            id=f"agent/{name}/{key}",
            task_queue=self.settings.task_queue,
        )

    async def run(self, agent: AgentVersion | str, goal: str = "do it", **request: Any) -> dict[str, Any]:
        """Start a run and wait for its outcome."""
        return await self.outcome(await self.start(agent, goal, **request))

    async def outcome(self, handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
        """The result of a run, within the deadline."""
        result: dict[str, Any] = await asyncio.wait_for(handle.result(), DEADLINE)
        return result

    async def approval(self, handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
        """The approval a run waits for, once it does."""

        async def first() -> Any:
            open_ones = await handle.query("approvals")
            return open_ones[0] if open_ones else None

        return await eventually(first, f"{handle.id} waits for an approval")

    async def decide(
        self, handle: WorkflowHandle[Any, Any], verdict: str, by: str = "lee", **more: Any
    ) -> dict[str, Any]:
        """Answer the approval a run waits for; returns the receipt."""
        open_one = await self.approval(handle)
        decision = {"approval_id": open_one["approval_id"], "verdict": verdict, "by": by, **more}
        receipt: dict[str, Any] = await handle.execute_update("decide", decision)
        return receipt

    async def rows(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of the test's database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    async def value(self, sql: str, *arguments: Any) -> Any:
        """The first column of the first row."""
        rows = await self.rows(sql, *arguments)
        return rows[0][0] if rows else None

    async def transcript(self, run_id: str) -> list[tuple[int, str, str, str]]:
        """(seq, kind, origin, content) of a run, in order."""
        rows = await self.rows(
            "SELECT seq, kind, origin, coalesce(content::text, b.text) AS content FROM transcript t "
            "LEFT JOIN blobs b ON b.digest = t.blob WHERE run_id = $1 ORDER BY seq",
            run_id,
        )
        return [(row["seq"], row["kind"], row["origin"], row["content"]) for row in rows]

    async def results(self, run_id: str) -> dict[str, str]:
        """What the model read as the result of each call."""
        rows = await self.rows(
            "SELECT call_id, coalesce(content::text, b.text) AS content FROM transcript t "
            "LEFT JOIN blobs b ON b.digest = t.blob WHERE run_id = $1 AND kind = 'result'",
            run_id,
        )
        return {row["call_id"]: json.loads(row["content"])[0]["text"] for row in rows}
