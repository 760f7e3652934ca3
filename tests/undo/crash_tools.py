"""Effects on the witness, each taken back by a tool of another contract."""

from activities.tools import Idempotent, ToolContext, tool
from tests.crash.tools import checkable, idempotent, irreversible, undo, witness_asked

MODULE = __name__
BACK = {"idempotent": idempotent, "checkable": checkable, "irreversible": irreversible, "undo": undo}


@tool(effect="write", contract=Idempotent(), undo="idempotent", output="trusted")
async def back_by_idempotent(ctx: ToolContext, number: int) -> str:
    """Act; an idempotent tool takes it back."""
    return await witness_asked(ctx)


@tool(effect="write", contract=Idempotent(), undo="checkable", output="trusted")
async def back_by_checkable(ctx: ToolContext, number: int) -> str:
    """Act; a checkable tool takes it back."""
    return await witness_asked(ctx)


@tool(effect="write", contract=Idempotent(), undo="irreversible", output="trusted")
async def back_by_irreversible(ctx: ToolContext, number: int) -> str:
    """Act; an irreversible tool takes it back."""
    return await witness_asked(ctx)
