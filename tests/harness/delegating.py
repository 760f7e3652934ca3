"""Agents that delegate, for tests and drills: one that hands a task on, and one that does it."""

from typing import Any

from activities.agents.versions import AgentVersion
from tests.harness.stanchion import Stanchion, unique

DONE = {"text": "all done"}


def ask(*tools: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A turn that asks for these tools."""
    return {"tools": [{"name": name, "input": arguments} for name, arguments in tools]}


def delegate(agent: str, task: str = "Find it.", **budget: Any) -> tuple[str, dict[str, Any]]:
    """A call that hands a task to an agent."""
    return ("delegate", {"agent": agent, "task": task, **budget})


async def worker(system: Stanchion, *turns: dict[str, Any], tools: tuple[str, ...] = (), **definition: Any) -> str:
    """Publish an agent that plays these turns; its name."""
    name = definition.pop("name", None) or unique("worker")
    await system.publish(list(turns) or [{"text": "found it"}], *tools, name=name, **definition)
    return name


async def boss(
    system: Stanchion, *turns: dict[str, Any], delegates: Any, tools: tuple[str, ...] = (), **definition: Any
) -> AgentVersion:
    """Publish an agent that plays these turns and then answers, and that may delegate."""
    return await system.publish([*turns, DONE], *tools, delegates=delegates, **definition)
