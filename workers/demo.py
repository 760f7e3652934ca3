"""The demo: one real run that asks a person, is killed with kill -9 in the middle of an effect, and does nothing twice.

Everything in it is real: the Temporal server, Postgres, the worker processes, the kill, and the accounts service, which
is a program of its own that journals every effect it performs. Its count is the witness.
"""

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from activities.errors import Permanent
from workers.cli.events import line_of
from workers.cli.opened import SQL
from workers.services import Home, Progress
from workers.services.processes import tail_of
from workers.session import Session
from workers.settings import Settings
from workers.shipped import ensure_desk, stop_accounts
from workers.up import prepare, up_detached
from workflows.contracts.runs import WORKFLOW_TYPE

QUEUE = (
    "stanchion-demo"  # a queue of its own, so that the worker of `stanchion up` does not take over from the one we kill
)
ACCOUNTS = "demo-accounts"
SLOW_SECONDS = 2.0  # how long the service sits on a reply: time to kill the worker between the effect and its result
APPROVER = "lee@acme.example"
GOAL = "Ana cannot log in since this morning (ticket 1). Take care of it."
DEADLINE = 180.0  # seconds for each step, on the slowest machine
WITNESSED = ("reset_password", "assign_licence", "revoke_licence")  # the tools whose effects the service performs

T = TypeVar("T")


class DemoFailed(Permanent):
    """The demo did not go as it should; the message says where."""


@dataclass(frozen=True)
class Summary:
    """What the demo showed, as data."""

    run: str
    status: str
    killed: bool
    resumed_seconds: float
    claimed: int
    witness: int
    repeats: int
    approvals: int
    history_bytes_per_step: int
    web_ui: str | None

    def as_json(self) -> dict[str, Any]:
        """As `stanchion demo --json` prints it."""
        effects = {"claimed": self.claimed, "witness": self.witness, "repeats": self.repeats}
        rest = {k: v for k, v in vars(self).items() if k not in effects}
        return rest | {"effects": effects}


@dataclass
class Demo:
    """One showing."""

    home: Home
    session: Session
    settings: Settings
    say: Progress
    last_event: int = 0
    repeats_before: int = 0  # the service remembers earlier showings

    async def show(self) -> Summary:
        """Play it. Raises DemoFailed."""
        self.repeats_before = (await self._witness())["repeats"]
        worker = await self._start_worker("first")
        try:
            handle = await self._start_run()
            await self._approve(handle)
            await self._until(lambda: self._witnessed(handle), "the password reset to reach the accounts service")
            killed_at = await self._kill(worker)
            worker = await self._start_worker("second")
            resumed = await self._resumed(handle, killed_at)
            outcome = await self._follow(handle)
        finally:
            await _end(worker)
        return await self._summary(handle, outcome, resumed)

    async def _start_run(self) -> WorkflowHandle[Any, Any]:
        run_id = f"agent/it-support/demo-{time.strftime('%H%M%S')}-{os.getpid()}"
        request = {"agent": "it-support", "goal": GOAL, "requester": "ana@acme.example", "tenant": "acme"}
        handle = await self.session.client.start_workflow(
            WORKFLOW_TYPE, request, id=run_id, task_queue=QUEUE, static_summary=f"it-support: {GOAL}"
        )
        self.say(f"\n1. A run started: {run_id}")
        return handle

    async def _approve(self, handle: WorkflowHandle[Any, Any]) -> None:
        open_one = await self._until(lambda: self._open_approval(handle), "the run to ask for an approval")
        self.say(f"\n2. It asks before it resets a password. Anyone but the requester may answer:\n"
                 f"     stanchion approve {open_one['approval_id']}\n   {APPROVER} does so now.")  # fmt: skip
        decision = {"approval_id": open_one["approval_id"], "verdict": "approve", "by": APPROVER}
        receipt = await handle.execute_update("decide", decision)
        if receipt["answer"] != "accepted":
            raise DemoFailed(f"the approval was not accepted: {receipt}")

    async def _kill(self, worker: asyncio.subprocess.Process) -> float:
        self.say(f"\n3. The reset has happened, its reply has not arrived: kill -9 {worker.pid}, and a new worker.")
        os.kill(worker.pid, signal.SIGKILL)
        await worker.wait()
        return time.monotonic()

    async def _resumed(self, handle: WorkflowHandle[Any, Any], killed_at: float) -> float:
        """Seconds from the kill until the run went on."""
        seen = self.last_event

        async def moved() -> bool:
            await self._print_events(handle.id)
            return self.last_event > seen

        await self._until(moved, "the run to go on")
        seconds = round(time.monotonic() - killed_at, 1)
        self.say(f"   {seconds} s after the kill the run goes on where it was.")
        return seconds

    async def _follow(self, handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            outcome: dict[str, Any] = await handle.result()
        await self._print_events(handle.id)
        return outcome

    async def _summary(self, handle: WorkflowHandle[Any, Any], outcome: dict[str, Any], resumed: float) -> Summary:
        info = (await handle.describe()).raw_description.workflow_execution_info
        count = await SQL["effects_of_tools"].row(self.session.database, run_id=handle.id, tools=list(WITNESSED))
        decided = await SQL["approvals_of"].rows(self.session.database, run_id=handle.id)
        witness = await self._witness()
        mine = [key for key in witness["keys"] if key.startswith(f"{handle.id}/")]
        return Summary(
            run=handle.id,
            status=outcome["status"],
            killed=True,
            resumed_seconds=resumed,
            claimed=count["effects"] if count else 0,
            witness=len(mine),
            repeats=witness["repeats"] - self.repeats_before,
            approvals=len(decided),
            history_bytes_per_step=round(info.history_size_bytes / max(outcome["steps"], 1)),
            web_ui=self.session.link(handle.id),
        )

    # ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _open_approval(self, handle: WorkflowHandle[Any, Any]) -> Any:
        await self._print_events(handle.id)
        rows = await SQL["approvals_of"].rows(self.session.database, run_id=handle.id)
        return next((row for row in rows if row["state"] == "open"), None)

    async def _witnessed(self, handle: WorkflowHandle[Any, Any]) -> bool:
        await self._print_events(handle.id)
        return any(key.startswith(f"{handle.id}/") for key in (await self._witness())["keys"])

    async def _witness(self) -> Any:
        def ask() -> Any:
            url = self.settings.tool_settings["accounts_url"] + "/witness"
            with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 — our own service, on this machine
                return json.load(reply)

        return await asyncio.to_thread(ask)

    async def _print_events(self, run_id: str) -> None:
        for row in await SQL["events"].rows(self.session.database, run_id=run_id, after=self.last_event):
            self.say(f"   {line_of(dict(row) | {'body': json.loads(row['body'])})}")
            self.last_event = row["n"]

    async def _until(self, look: Callable[[], Awaitable[T]], what: str) -> T:
        give_up = time.monotonic() + DEADLINE
        while time.monotonic() < give_up:
            if found := await look():
                return found
            await asyncio.sleep(0.1)
        raise DemoFailed(f"waited {DEADLINE:.0f} s for {what}; the worker's log ends:\n{tail_of(self._log)}")

    # ── the worker processes ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _log(self) -> Any:
        return self.home.log("demo-worker")

    async def _start_worker(self, which: str) -> asyncio.subprocess.Process:
        tools = {f"STANCHION_TOOL_{name.upper()}": value for name, value in self.settings.tool_settings.items()}
        own = {
            "STANCHION_HOME": str(self.home.root),
            "STANCHION_TASK_QUEUE": QUEUE,
            "STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS": "1",
            "DATABASE_URL": self.session.database.url,
        }
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "workers.cli", "worker",
                env={**os.environ, **own, **tools}, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.say(f"   the {which} worker has pid {process.pid}")
        return process


async def run_demo(home: Home, settings: Settings, say: Progress) -> Summary:
    """Bring everything up, play the demo, and leave `stanchion up` running so that there is something to try."""
    say("Stanchion's demo: a help-desk agent handles a ticket. First, the services it stands on.")
    home.prepare()
    _, session, settings = await prepare(home, settings, say)
    url = session.database.url
    accounts = {k: v for k, v in settings.tool_settings.items() if k != "accounts_url"}
    settings = await ensure_desk(
        home, replace(settings, tool_settings=accounts), url, say, delay=SLOW_SECONDS, name=ACCOUNTS
    )
    try:
        summary = await Demo(home, session, settings, say).show()
    finally:
        with suppress(RPCError):  # the reaper of the demo's own queue has no one to serve it any more
            await session.client.get_schedule_handle(f"reaper-{QUEUE}").delete()
        await stop_accounts(home, ACCOUNTS)
        await session.close()
    await up_detached(home, say)
    return summary


async def _end(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.terminate()
        try:
            await asyncio.wait_for(worker.wait(), 30)
        except TimeoutError:
            worker.kill()
            await worker.wait()
