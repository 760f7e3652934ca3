"""The bodies of `agents add`, `agents show` and `agents schema`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from activities.agents.definition import json_schema
from activities.agents.versions import Agents, AgentVersion, from_file
from activities.tools.errors import ToolDeclarationError
from activities.tools.registry import find_tool
from workers.cli.database_session import open_database
from workers.cli.output import echo, run, say, show, table
from workers.cli.stopping.targets import typo_warning


def add(file: str, as_json: bool) -> None:
    """`stanchion agents add`: registers the agent, and warns about delegates that are not registered."""
    sys.path.insert(0, os.getcwd())  # an agent.yaml names tool modules relative to the author's working folder

    async def work() -> tuple[AgentVersion, list[str | None]]:
        agent = from_file(Path(file))
        async with open_database() as database:
            published = await Agents(database).publish(agent)
            return published, [await typo_warning(database, "agent", name) for name in agent.definition.delegates]

    published, warnings = run(work())
    for warning in filter(None, warnings):
        say(f"it cannot delegate there yet: {warning}")
    row = _agent_row(published)
    show(row, as_json=as_json, text=f"{row['name']} {row['version']}: new runs get this version")


def show_agent(name: str, as_json: bool) -> None:
    """`stanchion agents show`."""

    async def work() -> AgentVersion:
        async with open_database() as database:
            return await Agents(database).current(name)

    agent = run(work())
    tools = [
        {"tool": tool.name, "tier": _tier_or_unknown(tool), "module": tool.module, "hash": tool.pinned_hash}
        for tool in agent.tools
    ]
    data = agent.definition.model_dump(mode="json") | {"version": agent.version, "tools": tools}
    if as_json:
        return show(data, as_json=True)
    show({key: value for key, value in data.items() if key not in ("tools", "instructions")}, as_json=False)
    echo(f"\n{agent.definition.instructions.strip()}\n")
    table(tools, ("tool", "tier", "module"), as_json=False, empty="")


def schema() -> None:
    """`stanchion agents schema`."""
    echo(json.dumps(json_schema(), indent=2))


def _tier_or_unknown(tool: Any) -> str:
    try:
        return find_tool(tool.module, tool.name).tier
    except ToolDeclarationError:
        return "?"


def _agent_row(agent: AgentVersion) -> dict[str, Any]:
    definition = agent.definition
    return {
        "name": definition.name,
        "version": agent.version[:12],
        "model": definition.model,
        "mode": definition.mode,
        "tools": len(agent.tools),
        "description": definition.description,
    }
