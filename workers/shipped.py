"""The agents under `agents/`, and the service the help-desk agent acts on: what `stanchion up` brings along."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL, SIGTERM

from activities.agents.definition import AgentDefinition, read_definition
from activities.agents.versions import Agents, AgentVersion, resolve
from activities.identity.principals import Principals
from activities.storage.database import Database
from workers import keys
from workers.services import Home, Progress, ServiceUnavailable
from workers.services.home import PROJECT_ROOT, Record
from workers.services.processes import spawn, stop, tail_of
from workers.settings import Settings

AGENTS = PROJECT_ROOT / "agents"
SERVICE = "accounts"
APPROVER = "lee@acme.example"  # who plays IT on a laptop; the role is the one that agent.yaml asks for
ROLE = "it"
START_SECONDS = 30.0  # on a busy machine the interpreter alone takes several


async def publish_shipped(agents: Agents, settings: Settings) -> list[AgentVersion]:
    """Publish every `agents/*/agent.yaml`. Without a key for its model, an agent gets its rehearsal script."""
    published = []
    for file in sorted(AGENTS.glob("*/agent.yaml")):
        definition = playable(read_definition(file), settings)
        published.append(await agents.publish(resolve(definition, str(file.parent))))
    return published


def playable(definition: AgentDefinition, settings: Settings) -> AgentDefinition:
    """The definition with a model that this installation can call."""
    lacks_key = definition.model.startswith("anthropic:") and not settings.anthropic_api_key
    if lacks_key and definition.rehearsal:
        return definition.model_copy(update={"model": definition.rehearsal})
    return definition


async def prepare_shipped(settings: Settings, database_url: str) -> None:
    """The tables that shipped agents act on, where their tools look for them. Safe to repeat."""
    from agents.it_support.desk import prepare_desk

    await prepare_desk(settings.tool_settings.get("desk_dsn", database_url))


async def register_approver(database: Database, tenant: str, home: Home) -> None:
    """Somebody of IT with a key in this home, so that installations can be approved on a laptop. Safe to repeat.

    Raises KeyExposed, KeyUnreadable, KeyTaken.
    """
    principals = Principals(database)
    await principals.add(tenant, APPROVER, [ROLE], None, "stanchion")
    await principals.add_key(_signer(home).public, "person", tenant, APPROVER, "stanchion")


def _signer(home: Home) -> keys.Signer:
    try:
        return keys.load(home, APPROVER)
    except keys.KeyMissing:
        return keys.create(home, APPROVER)


async def ensure_desk(
    home: Home, settings: Settings, database_url: str, progress: Progress, *, delay: float = 0.0, name: str = SERVICE
) -> Settings:
    """The settings with the help desk's database and its accounts service in them; the latter is started if needed."""
    given = dict(settings.tool_settings)
    if "accounts_url" not in given:
        given["accounts_url"] = await ensure_accounts(home, progress, delay=delay, name=name)
    given.setdefault("desk_dsn", database_url)
    return replace(settings, tool_settings=given)


async def ensure_accounts(home: Home, progress: Progress, *, delay: float = 0.0, name: str = SERVICE) -> str:
    """The URL of the accounts service, started if this home has none running. Raises ServiceUnavailable."""
    async with home.locked(name):
        if record := home.living(name):
            return record.address
        progress("Starting the accounts service …")
        state, ready = home.root / f"{name}-journal.jsonl", home.root / f"{name}-ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "agents.it_support.accounts_service", "--port", "0"]
        command += ["--state", str(state), "--ready-file", str(ready), "--delay", str(delay)]
        pid = spawn(command, home.log(name))
        url = await _until_ready(home, name, ready)
        home.write(name, Record.of(pid, state, url))
        return url


async def stop_accounts(home: Home, name: str = SERVICE) -> bool:
    """End the accounts service that this home started; False if none was running."""
    async with home.locked(name):
        record = home.living(name)
        if record is None:
            return False
        await stop(record.pid, record.is_alive, ((SIGTERM, 5.0), (SIGKILL, 5.0)))
        home.forget(name)
        return True


async def _until_ready(home: Home, name: str, ready: Path) -> str:
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (answer := _read(ready)):  # noqa: ASYNC110 — another process has no event for this
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise ServiceUnavailable(f"The accounts service did not start:\n{tail_of(home.log(name))}") from None
    return answer["url"]


def _read(file: Path) -> dict[str, str]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
