"""Publishes the agents under `agents/`, and starts the accounts service that the help-desk agent acts on."""

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
APPROVER = "lee@acme.example"  # plays the IT department on a laptop
ROLE = "it"  # the role that may approve installations, see agents/it_support/agent.yaml
START_SECONDS = 30.0  # on a busy machine the Python interpreter alone takes several seconds


async def publish_shipped(agents: Agents, settings: Settings) -> list[AgentVersion]:
    """Publish every `agents/*/agent.yaml`, each with a model that this installation can call (see `playable`)."""
    published = []
    for file in sorted(AGENTS.glob("*/agent.yaml")):
        definition = playable(read_definition(file), settings)
        published.append(await agents.publish(resolve(definition, str(file.parent))))
    return published


def playable(definition: AgentDefinition, settings: Settings) -> AgentDefinition:
    """Return the definition, with its rehearsal script as the model if the model's API key is not set."""
    lacks_key = definition.model.startswith("anthropic:") and not settings.anthropic_api_key
    if lacks_key and definition.rehearsal:
        return definition.model_copy(update={"model": definition.rehearsal})
    return definition


async def prepare_shipped(settings: Settings, database_url: str) -> None:
    """Create the tables that shipped agents act on, in the database that their tools use. Safe to repeat."""
    from agents.it_support.desk import prepare_desk

    await prepare_desk(settings.tool_settings.get("desk_dsn", database_url))


async def register_approver(database: Database, tenant: str, home: Home) -> None:
    """Register the approver of a laptop: a person with the IT role and a key in this home. Safe to repeat.

    Raises KeyExposed, KeyUnreadable, KeyTaken.
    """
    principals = Principals(database)
    await principals.add(tenant, APPROVER, [ROLE], None, "stanchion")
    await principals.add_key(_load_or_create_key(home).public, "person", tenant, APPROVER, "stanchion")


def _load_or_create_key(home: Home) -> keys.Signer:
    try:
        return keys.load(home, APPROVER)
    except keys.KeyMissing:
        return keys.create(home, APPROVER)


async def ensure_desk(
    home: Home, settings: Settings, database_url: str, progress: Progress, *, delay: float = 0.0, name: str = SERVICE
) -> Settings:
    """Return the settings with the help desk's database and the URL of its accounts service.

    Starts the accounts service if the settings name none; `delay` is how many seconds it waits before each reply.
    """
    tool_settings = dict(settings.tool_settings)
    if "accounts_url" not in tool_settings:
        tool_settings["accounts_url"] = await ensure_accounts(home, progress, delay=delay, name=name)
    tool_settings.setdefault("desk_dsn", database_url)
    return replace(settings, tool_settings=tool_settings)


async def ensure_accounts(home: Home, progress: Progress, *, delay: float = 0.0, name: str = SERVICE) -> str:
    """Return the URL of this home's accounts service, which is started if none runs. Raises ServiceUnavailable."""
    async with home.locked(name):
        if record := home.living(name):
            return record.address
        progress("Starting the accounts service …")
        state, ready = home.root / f"{name}-journal.jsonl", home.root / f"{name}-ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "agents.it_support.accounts_service", "--port", "0"]
        command += ["--state", str(state), "--ready-file", str(ready), "--delay", str(delay)]
        pid = spawn(command, home.log(name))
        url = await _wait_until_ready(home, name, ready)
        home.write(name, Record.of(pid, state, url))
        return url


async def stop_accounts(home: Home, name: str = SERVICE) -> bool:
    """Stop the accounts service that this home started. Returns False if none was running."""
    async with home.locked(name):
        record = home.living(name)
        if record is None:
            return False
        await stop(record.pid, record.is_alive, ((SIGTERM, 5.0), (SIGKILL, 5.0)))
        home.forget(name)
        return True


async def _wait_until_ready(home: Home, name: str, ready: Path) -> str:
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (answer := _read_if_exists(ready)):  # noqa: ASYNC110 — another process has no event for this
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise ServiceUnavailable(f"The accounts service did not start:\n{tail_of(home.log(name))}") from None
    return answer["url"]


def _read_if_exists(file: Path) -> dict[str, str]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
