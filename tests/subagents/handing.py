"""Work handed on at the gateway, without Temporal: planned, spawned, opened, closed, fetched."""

import json
from typing import Any

from tests.harness.door import Call, Door
from workflows.contracts.budgets import Spent
from workflows.contracts.calls import CallRequest, CallResult, Spawn
from workflows.contracts.runs import CloseRequest, Ending, OpenRequest, RunOpened, RunRequest

BUDGET = {"usd": "1.00", "tokens": 10_000, "tool_calls": 20, "minutes": 30}
GRANT = {"send": {"to": {"domains": ["acme.example"]}}}


class Crash(Exception):
    """The worker died."""


async def delegated(door: Door, boss: str, helper: str, task: str = "Find it.", **more: Any) -> Call:
    """A planned call that hands a task on, of a new run."""
    request = more.pop("request", {})
    run_id = await door.open(boss, **request)
    return (await door.plan(run_id, ("delegate", {"agent": helper, "task": task, **more})))[0]


async def spawned(door: Door, call: Call) -> Spawn:
    answer = await door.call(call)
    assert isinstance(answer, Spawn), await why(door, call)
    return answer


async def opened(door: Door, spawn: Spawn, **request: Any) -> RunOpened:
    """Its run, opened as the workflow opens it."""
    asked = RunRequest(agent=spawn.agent, goal=spawn.goal, **({"tenant": "acme", "requester": "ana"} | request))
    run = await door.parts.runs.open(OpenRequest(run_id=spawn.run_id, chain_id=spawn.run_id, request=asked))
    door._seqs[spawn.run_id] = (0, run.next_seq)
    return run


async def started(door: Door, boss: str, helper: str, **more: Any) -> tuple[Call, Spawn]:
    call = await delegated(door, boss, helper, **more)
    spawn = await spawned(door, call)
    await opened(door, spawn)
    return call, spawn


async def closed(door: Door, run_id: str, status: Any = "completed", rule: str = "answered", **spent: Any) -> None:
    ending = Ending(status=status, rule=rule)
    await door.parts.runs.close(CloseRequest(run_id=run_id, ending=ending, steps=1, spent=Spent(**spent)))


async def fetched(door: Door, call: Call) -> CallResult:
    """The call again, now that its sub-agent has ended."""
    return await door.parts.gateway.call(CallRequest(run_id=call.run_id, call_id=call.call_id, woken=True))


async def why(door: Door, call: Call) -> str:
    """What the model reads as the result of a call."""
    content = await door.value(
        "SELECT coalesce(t.content::text, b.text) FROM transcript t LEFT JOIN blobs b ON b.digest = t.blob "
        "WHERE t.run_id = $1 AND t.call_id = $2",
        call.run_id,
        call.call_id,
    )
    return str(json.loads(content)[0]["text"])


async def held(door: Door, run_id: str) -> dict[str, tuple[int, int]]:
    """(settled, reserved) of a run's own windows, by unit and class."""
    rows = await door.rows(
        "SELECT unit || ' ' || class AS name, settled, reserved FROM windows WHERE scope = 'run' AND key = $1", run_id
    )
    return {row["name"]: (row["settled"], row["reserved"]) for row in rows}
