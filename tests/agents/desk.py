"""What the tests of the help desk share: the accounts service as a process of its own, and looks at what a run did."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from activities.tools import ToolContext
from tests.harness.stanchion import DEADLINE, Stanchion, eventually

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agents" / "it_support" / "agent.yaml"
ON_THE_SERVICE = ("reset_password", "assign_licence", "revoke_licence", "install_software")
TENANT = "acme"


class AccountsProcess:
    """The accounts service in a process of its own."""

    def __init__(self, folder: Path, delay: float = 0.0) -> None:
        self.journal = folder / "journal.jsonl"
        self.url = ""
        self._ready = folder / "ready.json"
        self._delay = delay
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        where = ["--port", "0", "--state", str(self.journal), "--ready-file", str(self._ready)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agents.it_support.accounts_service", *where, "--delay", str(self._delay), cwd=ROOT
        )
        async with asyncio.timeout(DEADLINE):
            while not self._ready.exists():
                assert self._process.returncode is None, "the accounts service ended while it started"
                await asyncio.sleep(0.05)
        self.url = json.loads(self._ready.read_text(encoding="utf-8"))["url"]

    async def kill(self) -> None:
        assert self._process
        self._process.kill()
        await self._process.wait()

    async def post(self, change: str, key: str | None, body: Any) -> tuple[int, str]:
        headers = {"Idempotency-Key": key} if key else {}
        async with aiohttp.ClientSession(self.url, headers=headers) as session:
            async with session.post(f"/{change}", json=body) as response:
                return response.status, await response.text()

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession(self.url) as session, session.get(path) as response:
            return await response.json()

    async def witness(self) -> dict[str, Any]:
        """What the service says was done to it."""
        told: dict[str, Any] = await self.get("/witness")
        return told

    async def phone(self, account: str) -> list[dict[str, str]]:
        """What arrived on a phone."""
        messages: list[dict[str, str]] = (await self.get(f"/phone/{account}"))["messages"]
        return messages

    async def code(self, account: str, approval_id: str) -> str:
        """The one-time code that an account's owner got for an approval."""

        async def arrived() -> str | None:
            return next((m["code"] for m in await self.phone(account) if approval_id in m["about"]), None)

        return await eventually(arrived, f"a code for {account}") or ""


@asynccontextmanager
async def accounts_process(folder: Path, delay: float = 0.0) -> AsyncIterator[AccountsProcess]:
    process = AccountsProcess(folder, delay)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


def context(call_id: str = "1.0", **settings: str) -> ToolContext:
    """What a tool is told when a test calls it by itself."""
    return ToolContext(run_id="run", call_id=call_id, agent="it-support", tenant=TENANT, settings=settings)


async def confirm(stanchion: Stanchion, accounts: AccountsProcess, handle: Any, account: str) -> dict[str, Any]:
    """The owner of the account enters the code that the run's open question waits for; returns the receipt."""
    asked = await stanchion.approval(handle)
    code = await accounts.code(account, asked["approval_id"])
    return await stanchion.decide(handle, "approve", by=account, code=code)


async def tools_called(stanchion: Stanchion, run_id: str) -> list[str]:
    """The tools of a run, in order."""
    rows = await stanchion.rows("SELECT tool FROM calls WHERE run_id = $1 ORDER BY seq", run_id)
    return [row["tool"] for row in rows]


async def verdicts(stanchion: Stanchion, run_id: str) -> list[tuple[str, str, str]]:
    """(tool, verdict, rule) of a run, in order."""
    rows = await stanchion.rows(
        "SELECT body ->> 'tool', body ->> 'verdict', body ->> 'rule' FROM events "
        "WHERE run_id = $1 AND kind = 'verdict.given' ORDER BY n",
        run_id,
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def settled_on_the_service(stanchion: Stanchion) -> list[str]:
    """The keys of the effects that our own tables call settled, of tools that act on the service."""
    rows = await stanchion.rows(
        "SELECT run_id || '/' || call_id FROM effects JOIN calls USING (run_id, call_id) "
        "WHERE effects.state = 'settled' AND calls.tool = ANY($1) ORDER BY 1",
        list(ON_THE_SERVICE),
    )
    return [row[0] for row in rows]
