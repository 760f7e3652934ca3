"""Toy chat: channels that guests write to as well, posts, and direct messages.

A channel is declared as a principal, the people in it: `recipient` is for mail addresses.
"""

from activities.tools import Idempotent, ToolContext, ToolError, tool
from tests.attacks.world import Deed, world_of


@tool(effect="read", output="untrusted")
async def read_channel(ctx: ToolContext, channel: str) -> list[str]:
    """Read the latest messages of a channel."""
    if channel not in world_of(ctx).channels:
        raise ToolError(f"there is no channel {channel}")
    return world_of(ctx).channels[channel]


@tool(effect="send", contract=Idempotent(), sensitive={"channel": "principal"}, output="trusted")
async def post_message(ctx: ToolContext, channel: str, text: str) -> str:
    """Post a message to a channel."""
    world_of(ctx).happens(ctx, Deed("post", channel.lower(), text))
    return "posted"


@tool(effect="send", contract=Idempotent(), sensitive={"person": "recipient"}, output="trusted")
async def direct_message(ctx: ToolContext, person: str, text: str) -> str:
    """Write to one person, by mail address."""
    world_of(ctx).happens(ctx, Deed("direct message", person.lower(), text))
    return "delivered"
