"""Agents that delegate, for tests and drills: one that hands a task on, and one that does it."""

from typing import Any

from temporalio.client import WorkflowHandle

from activities.agents.versions import AgentVersion
from activities.halts.halts import Halts
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import RELEASE

Handle = WorkflowHandle[Any, Any]

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


async def child_of(system: Stanchion, run_id: str) -> str:
    """The run id of the first sub-agent of a run, once it is open."""

    async def opened() -> Any:
        return await system.value("SELECT run_id FROM runs WHERE parent_run_id = $1 ORDER BY opened_at", run_id)

    return str(await eventually(opened, f"a sub-agent of {run_id} is open"))


_HELD: dict[str, str] = {}  # run id of a sub-agent -> what its tool waits for


def release(child: str) -> None:
    """Let the tool of this sub-agent, or of one below it, answer."""
    RELEASE[_HELD[child]].set()


async def at_work(
    system: Stanchion, tool: str = "waits_for_release", levels: int = 1, **request: Any
) -> tuple[Handle, str]:
    """A run with so many sub-agents one below the other; a tool of the lowest is at work. The run, and its own one."""
    name = unique("held")
    below = await worker(system, ask((tool, {"name": name})), DONE, tools=(tool, "take_back"))
    for _ in range(levels - 1):
        middle = await boss(system, ask(delegate(below)), delegates=[below])
        below = middle.definition.name
    handle = await system.start(await boss(system, ask(delegate(below)), delegates=[below]), **request)

    async def working() -> bool:
        return name in RELEASE

    await eventually(working, "the tool is at work")
    child = await child_of(system, handle.id)
    _HELD[child] = name
    return handle, child


async def word(handle: Handle, wanted: str) -> dict[str, Any]:
    """The status of a run once it is in one word so."""

    async def there() -> Any:
        status = await handle.query("status")
        return status if status["status"] == wanted else None

    return dict(await eventually(there, f"{handle.id} is {wanted}"))


def halts(system: Stanchion) -> Halts:
    """The halts of this system."""
    return Halts(system.parts.database, system.parts.authority)
