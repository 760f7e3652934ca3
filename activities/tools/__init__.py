"""The public API for tool authors.

from activities.tools import Idempotent, ToolContext, tool

@tool(effect="send", contract=Idempotent(), sensitive={"to": "recipient"}, output="trusted")
async def send_notice(ctx: ToolContext, to: str, text: str) -> Receipt:
    \"\"\"Tell a customer that the ticket moved.\"\"\"
    return await mailer.send(to, text, key=ctx.idempotency_key)
"""

from activities.tools.context import ToolContext
from activities.tools.contracts import Checkable, Idempotent, Irreversible, Pure
from activities.tools.decorator import foreign_tool, tool
from activities.tools.errors import ToolError
from activities.tools.undo import Undo

__all__ = [
    "Checkable",
    "Idempotent",
    "Irreversible",
    "Pure",
    "ToolContext",
    "ToolError",
    "Undo",
    "foreign_tool",
    "tool",
]
