"""Tools that are taken back, in every way in which that can go. Each effect reports to `DONE`, once per key."""

import asyncio
from typing import Any

from pydantic import BaseModel

from activities.tools import Checkable, Idempotent, Irreversible, ToolContext, ToolError, Undo, tool

MODULE = __name__
DONE: dict[str, str] = {}  # idempotency key -> what was done, in the order in which it was
AGAIN: list[str] = []  # keys that were performed more than once
GATE: dict[str, asyncio.Event] = {}


class Placed(BaseModel):
    """Where a thing was put."""

    thing: str
    shelf: int


def _do(ctx: ToolContext, what: str) -> None:
    if ctx.idempotency_key in DONE:
        AGAIN.append(ctx.idempotency_key)
    DONE[ctx.idempotency_key] = what


def done_by(run_id: str) -> list[str]:
    """What a run did, in order."""
    return [what for key, what in DONE.items() if key.startswith(f"{run_id}/")]


@tool(effect="write", contract=Idempotent(), undo="drop", output="trusted")
async def put(ctx: ToolContext, name: str) -> Placed:
    """Put a thing on a shelf."""
    _do(ctx, f"put {name}")
    return Placed(thing=f"{name}-{len(name)}", shelf=len(DONE))


@tool(effect="write", contract=Idempotent(), undo=Undo("put", {"name": "arguments.thing"}), output="trusted")
async def drop(ctx: ToolContext, thing: str, reason: str = "taken back") -> str:
    """Take a thing off its shelf."""
    if thing.startswith("stuck"):
        raise ToolError("it is stuck")
    if thing.startswith("slow") and thing in GATE:
        await GATE[thing].wait()
    _do(ctx, f"drop {thing}")
    return "dropped"


@tool(effect="write", contract=Irreversible(), sensitive={"account": "account"}, undo="revoke", output="trusted")
async def grant(ctx: ToolContext, account: str) -> str:
    """Let an account in."""
    _do(ctx, f"grant {account}")
    return "granted"


@tool(effect="write", contract=Irreversible(), sensitive={"account": "account"}, output="trusted")
async def revoke(ctx: ToolContext, account: str) -> str:
    """Lock an account out. It has no undo, so it is T3, and asked about."""
    _do(ctx, f"revoke {account}")
    return "revoked"


@tool(effect="write", contract=Idempotent(), undo=Undo("remove", {"path": "result"}), output="untrusted")
async def upload(ctx: ToolContext, text: str) -> str:
    """Store a text; says where."""
    _do(ctx, f"upload {text}")
    return f"store/{text}"


@tool(effect="write", contract=Idempotent(), sensitive={"path": "path"}, undo="upload_at", output="trusted")
async def remove(ctx: ToolContext, path: str) -> str:
    """Remove what is stored at a path."""
    _do(ctx, f"remove {path}")
    return "removed"


@tool(effect="write", contract=Idempotent(), undo="remove", output="trusted")
async def upload_at(ctx: ToolContext, path: str) -> str:
    """Store something at a path."""
    return path


@tool(effect="send", contract=Idempotent(), sensitive={"to": "recipient"}, output="trusted")
async def send(ctx: ToolContext, to: str) -> str:
    """Send a letter; nobody gets it back."""
    _do(ctx, f"send {to}")
    return "sent"


@tool(effect="write", contract=Irreversible(), undo="drop_all", output="trusted", timeout=5)
async def vanish(ctx: ToolContext) -> str:
    """Fail in a way that leaves the outcome in doubt."""
    raise RuntimeError("the line went dead")


@tool(effect="write", contract=Idempotent(), undo="drop_all", output="trusted")
async def drop_all(ctx: ToolContext) -> str:
    """Take everything off the shelves."""
    _do(ctx, "drop all")
    return "dropped"


@tool(effect="write", contract=Idempotent(), undo="drop", output="trusted")
async def refuse(ctx: ToolContext, thing: str) -> str:
    """Do nothing, and say so."""
    raise ToolError("not today")


async def _nothing(ctx: ToolContext, **_: Any) -> str | None:
    return None


@tool(effect="write", contract=Checkable(_nothing), undo="vanish_too", output="trusted")
async def glue(ctx: ToolContext, name: str) -> str:
    """Stick a thing on; getting it off may go wrong."""
    _do(ctx, f"glue {name}")
    return "stuck on"


@tool(effect="write", contract=Irreversible(), undo="glue", output="trusted")
async def vanish_too(ctx: ToolContext, name: str) -> str:
    """Take a thing off, and lose the reply."""
    _do(ctx, f"unglue {name}")
    raise RuntimeError("the line went dead")
