"""One tool per effect contract, each of which asks the witness: a service outside, as a real target would be."""

from typing import Any

import aiohttp

from activities.tools import Checkable, Idempotent, Irreversible, Pure, ToolContext, ToolError, tool

MODULE = __name__


async def _ask(ctx: ToolContext, path: str) -> Any:
    url = f"{ctx.setting('witness')}/{path}"
    async with aiohttp.ClientSession() as session, session.post(url, json={"key": ctx.idempotency_key}) as reply:
        reply.raise_for_status()
        return await reply.json()


async def _find(ctx: ToolContext, **_: Any) -> str | None:
    found = await _ask(ctx, "find")
    return "it is there" if found["count"] else None


async def witness_asked(ctx: ToolContext) -> str:
    """Act on the witness, which knows the key again."""
    return str((await _ask(ctx, "once"))["reply"])


@tool(effect="read", contract=Pure(), output="trusted")
async def pure(ctx: ToolContext, number: int = 0) -> str:
    """Read from the witness."""
    return str((await _ask(ctx, "read"))["reply"])


@tool(effect="write", contract=Idempotent(), undo="undo", output="trusted")
async def idempotent(ctx: ToolContext, number: int = 0) -> str:
    """Write to the witness, which knows the key again."""
    return str((await _ask(ctx, "once"))["reply"])


@tool(effect="write", contract=Checkable(_find), undo="undo", output="trusted")
async def checkable(ctx: ToolContext, number: int = 0) -> str:
    """Write to the witness, which can be asked whether it happened."""
    return str((await _ask(ctx, "again"))["reply"])


@tool(effect="write", contract=Irreversible(), undo="undo", output="trusted")
async def irreversible(ctx: ToolContext, number: int = 0, text: str = "as asked") -> str:
    """Write to the witness, which neither knows the key again nor can be asked."""
    return f"{(await _ask(ctx, 'again'))['reply']} {text}"


@tool(effect="write", contract=Idempotent(), undo="irreversible", output="trusted")
async def undo(ctx: ToolContext) -> str:
    """Take a write back."""
    raise ToolError("not needed here")
