"""A tool whose answers are private."""

from activities.tools import ToolContext, tool


@tool(effect="read", output="trusted", private=True)
async def secrets_of(ctx: ToolContext, name: str) -> str:
    """Look up what is private."""
    return f"the salary of {name}"
