"""The agent that is parked: it asks for an approval or sets a timer, then has one effect that a witness counts."""

from typing import Any

import asyncpg

from activities.agents.definition import AgentDefinition
from activities.agents.versions import AgentVersion, resolve
from activities.model.provider import Message, Text
from activities.tools import Idempotent, ToolContext, tool
from bench.agent import NO_LIMIT

NAME = "bench-parked"
WITNESS = (
    "CREATE TABLE IF NOT EXISTS bench_witness (key text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())"
)


def goal(minutes: float) -> str:
    """What the run is told: wait so many minutes; 0: ask for an approval."""
    return str(minutes)


async def turn(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """The model: a timer or an approval, the effect, an answer."""
    first = messages[0].blocks[0]
    assert isinstance(first, Text)
    minutes = float(first.text)
    if minutes and step == 1:
        return {"tools": [{"name": "wait", "input": {"minutes": minutes}}]}
    if step == (2 if minutes else 1):
        return {"tools": [{"name": "record" if minutes else "send", "input": {"to": "bo@acme.example"}}]}
    return {"text": "done"}


@tool(effect="write", contract=Idempotent(), undo="send", output="trusted")
async def record(ctx: ToolContext, to: str) -> str:
    """Have the effect; nobody is asked."""
    return await _witnessed(ctx)


@tool(effect="send", contract=Idempotent(), sensitive={"to": "recipient"}, output="trusted")
async def send(ctx: ToolContext, to: str) -> str:
    """Have the effect; a person is asked."""
    return await _witnessed(ctx)


async def _witnessed(ctx: ToolContext) -> str:
    connection = await _connection(ctx.settings["witness"])
    await connection.execute("INSERT INTO bench_witness (key) VALUES ($1)", ctx.idempotency_key)
    return "done"


_pools: dict[str, Any] = {}


async def _connection(url: str) -> Any:
    if url not in _pools:
        _pools[url] = await asyncpg.create_pool(
            url, min_size=1, max_size=2, server_settings={"application_name": "witness"}
        )
    return _pools[url]


def version() -> AgentVersion:
    """The agent, to publish."""
    caps = dict.fromkeys(("tokens", "tool_calls", "minutes", "steps"), NO_LIMIT)
    definition = AgentDefinition.model_validate(
        {
            "name": NAME,
            "instructions": "Wait, then act.",
            "model": f"scripted:{__name__}:turn",
            "tools": [{"module": __name__, "use": ["record", "send"]}],
            "budget": {"usd": "1.00", **caps, "minutes": 10},
        }
    )
    return resolve(definition, ".")
