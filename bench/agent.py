"""The measured agent: a model that answers at once, and a tool whose result has the size that the goal names."""

import asyncio
import random
from typing import Any

from activities.agents.definition import AgentDefinition
from activities.agents.versions import AgentVersion, resolve
from activities.model.provider import Message, Text
from activities.tools import Idempotent, ToolContext, tool

NAME = "bench"
NO_LIMIT = 1_000_000_000
ALPHABET = "abcdefghijklmnopqrstuvwxyz      "


def goal(steps: int, size: int, delay: float = 0.0) -> str:
    """What the run is told: `steps` steps in all, results of `size` characters, `delay` seconds for each model call."""
    return f"{steps} {size} {delay}"


async def turn(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """The model: one tool call a step, an answer at the last."""
    first = messages[0].blocks[0]
    assert isinstance(first, Text)
    steps, size, delay = first.text.split()
    usage = {"input_tokens": 1_000 + step, "output_tokens": 50}
    if step >= int(steps):
        return {"text": "all done", "usage": usage}
    call = {"name": "work", "input": {"n": step, "size": int(size)}}
    return {"tools": [call], "delay": float(delay), "usage": usage}


@tool(effect="write", contract=Idempotent(), undo="unwork", output="trusted")
async def work(ctx: ToolContext, n: int, size: int) -> str:
    """Do one piece of work; the result is text of `size` characters, another for each `n`."""
    await asyncio.sleep(0)
    chosen = random.Random(f"{ctx.idempotency_key}/{n}")  # noqa: S311 - filler, the same for every attempt
    return "".join(chosen.choices(ALPHABET, k=64)) * (size // 64) if size else ""


@tool(effect="write", contract=Idempotent(), undo="work", output="trusted")
async def unwork(ctx: ToolContext, n: int, size: int = 0) -> str:
    """Take a piece of work back."""
    return f"took {n} back"


def version() -> AgentVersion:
    """The agent, to publish. Its budget never ends a benchmark."""
    caps = dict.fromkeys(("tokens", "tool_calls", "minutes", "steps"), NO_LIMIT)
    definition = AgentDefinition.model_validate(
        {
            "name": NAME,
            "instructions": "Do the work.",
            "model": f"scripted:{__name__}:turn",
            "tools": [{"module": __name__, "use": ["work", "unwork"]}],
            "budget": {"usd": "1000.00", **caps},
        }
    )
    return resolve(definition, ".")
