"""Helpers of the demo: starts its worker processes, types in its second terminal, waits for results."""

import asyncio
import json
import os
import shlex
import signal
import sys
import time
import urllib.request
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from temporalio.client import WorkflowHandle

from activities.errors import Permanent
from workers.cli.database_session import SQL
from workers.cli.runs.event_lines import format_event
from workers.cli_connection import Session
from workers.services import Home, Progress
from workers.services.processes import tail_of
from workers.settings import Settings
from workflows.contracts.runs import WORKFLOW_TYPE

# The demo has its own queue, so that the worker of `stanchion up` does not take over from the killed one.
QUEUE = "stanchion-demo"
DEADLINE = 180.0  # seconds for each wait, on the slowest machine

Handle = WorkflowHandle[Any, Any]
T = TypeVar("T")


class DemoFailed(Permanent):
    """A step of the demo failed; the message says which."""


@dataclass
class Stage:
    """What the acts of the demo share: connections, output, and helpers for runs and processes."""

    home: Home
    session: Session
    settings: Settings
    say: Progress
    tenant: str
    last_event: dict[str, int] = field(default_factory=dict)  # run id → number of the last event printed

    # ── runs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, act: str, goal: str, requester: str) -> Handle:
        """Start a run of the help desk."""
        run_id = f"agent/it-support/demo-{time.strftime('%H%M%S')}-{os.getpid()}-{act}"
        request = {"agent": "it-support", "goal": goal, "requester": requester, "tenant": self.tenant}
        self.say(f"   {requester}: {goal}\n   run {run_id}")
        return await self.session.client.start_workflow(
            WORKFLOW_TYPE, request, id=run_id, task_queue=QUEUE, static_summary=f"it-support: {goal}"
        )

    async def wait_for_approval(self, handle: Handle) -> str:
        """Wait until the run asks for an approval; return the approval's id. Raises DemoFailed."""

        async def first_approval() -> Any:
            await self.print_events(handle)
            return next(iter(await handle.query("approvals")), None)

        return str((await self.wait_until(first_approval, "the run to ask for an approval"))["approval_id"])

    async def wait_for_outcome(self, handle: Handle) -> dict[str, Any]:
        """Wait for the end of a run and return its outcome."""
        async with asyncio.timeout(DEADLINE):
            outcome: dict[str, Any] = await handle.result()
        await self.print_events(handle)
        return outcome

    async def events(self, handle: Handle, after: int = 0) -> list[dict[str, Any]]:
        """Return the events of a run's trace log with a number greater than `after`."""
        rows = await SQL["events"].rows(self.session.database, run_id=handle.id, after=after)
        return [dict(row) | {"body": json.loads(row["body"])} for row in rows]

    async def print_events(self, handle: Handle) -> bool:
        """Print the new events of a run. Returns whether there were any."""
        new = await self.events(handle, self.last_event.get(handle.id, 0))
        for event in new:
            self.say(f"   {format_event(event)}")
            self.last_event[handle.id] = event["n"]
        return bool(new)

    async def wait_until(self, check: Callable[[], Awaitable[T]], what: str) -> T:
        """Call `check` until it returns a true value, and return that. Raises DemoFailed after `DEADLINE`."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if value := await check():
                return value
            await asyncio.sleep(0.1)
        raise DemoFailed(f"waited {DEADLINE:.0f} s for {what}; the worker's log ends:\n{tail_of(self._log)}")

    # ── the accounts service, a separate program ────────────────────────────────────────────────────────────────────

    async def witness(self) -> Any:
        """Return the accounts service's own counts of the effects it performed."""
        return await asyncio.to_thread(_fetch_json, self._accounts + "/witness")

    async def performed_effects(self, handle: Handle) -> list[str]:
        """Return the idempotency keys of the effects that the accounts service performed for one run."""
        return [key for key in (await self.witness())["keys"] if key.startswith(f"{handle.id}/")]

    async def code_on_phone(self, account: str, approval_id: str) -> str:
        """Wait for the one-time code of an approval on the account owner's simulated phone, and return it."""

        async def newest_message() -> Any:
            phone = await asyncio.to_thread(_fetch_json, f"{self._accounts}/phone/{account}")
            return next((m for m in reversed(phone["messages"]) if approval_id in m["about"]), None)

        return str((await self.wait_until(newest_message, f"a code on the phone of {account}"))["code"])

    @property
    def _accounts(self) -> str:
        return self.settings.tool_settings["accounts_url"]

    # ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def second_terminal(self, *words: str) -> dict[str, Any]:
        """Run a `stanchion` command that answers an approval, and return its receipt. Raises DemoFailed."""
        self.say(f"\n   second terminal $ stanchion {shlex.join(words)}")
        process = await self._spawn((*words, "--json"), stdout=PIPE, stderr=PIPE)
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
        if process.returncode != 0:
            raise DemoFailed(f"`stanchion {words[0]}` ended with {process.returncode}: {(out + err).decode().strip()}")
        receipt: dict[str, Any] = json.loads(out)
        self.say(f"   {receipt['answer']}\n")
        return receipt

    async def start_worker(self, which: str) -> Process:
        """Start a worker process that accepts only signed decisions and one-time codes."""
        with self._log.open("ab") as log:
            process = await self._spawn(("worker",), stdout=log, stderr=log)
        self.say(f"   the {which} worker has pid {process.pid}")
        return process

    async def kill_worker(self, worker: Process) -> float:
        """Kill the worker with SIGKILL. Returns the time of the kill by the monotonic clock."""
        os.kill(worker.pid, signal.SIGKILL)
        await worker.wait()
        return time.monotonic()

    async def stop_worker(self, worker: Process) -> None:
        """Stop a worker, if it still runs: SIGTERM, then SIGKILL after 30 seconds."""
        if worker.returncode is None:
            worker.terminate()
            try:
                await asyncio.wait_for(worker.wait(), 30)
            except TimeoutError:
                worker.kill()
                await worker.wait()

    async def _spawn(self, words: Sequence[str], *, stdout: Any, stderr: Any) -> Process:
        tool_variables = {f"STANCHION_TOOL_{name.upper()}": text for name, text in self.settings.tool_settings.items()}
        demo_variables = {
            "STANCHION_HOME": str(self.home.root),
            "STANCHION_TASK_QUEUE": QUEUE,
            "STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS": "0",
            "DATABASE_URL": self.session.database.url,
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workers.cli", *words,
            env={**os.environ, **demo_variables, **tool_variables}, stdin=DEVNULL, stdout=stdout, stderr=stderr,
        )  # fmt: skip

    @property
    def _log(self) -> Any:
        return self.home.log("demo-worker")


def _fetch_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 — our own service, on this machine
        return json.load(reply)
