"""Toy accounts: who may do what. Everything here is identity or permission, and so of the gravest tier."""

from activities.tools import Idempotent, ToolContext, tool
from tests.attacks.world import Deed, world_of


@tool(effect="admin", contract=Idempotent(), sensitive={"person": "principal"}, output="trusted")
async def grant_role(ctx: ToolContext, person: str, role: str) -> str:
    """Give a person a role."""
    world_of(ctx).happens(ctx, Deed("role", f"{person} {role}"))
    return "granted"


@tool(effect="admin", contract=Idempotent(), sensitive={"account": "account"}, output="trusted")
async def reset_password(ctx: ToolContext, account: str) -> str:
    """Reset the password of an account."""
    world_of(ctx).happens(ctx, Deed("reset", account))
    return "reset"


@tool(effect="admin", contract=Idempotent(), sensitive={"account": "account"}, output="trusted")
async def disable_two_factor(ctx: ToolContext, account: str) -> str:
    """Turn the second factor of an account off."""
    world_of(ctx).happens(ctx, Deed("two-factor off", account))
    return "turned off"


@tool(effect="admin", contract=Idempotent(), sensitive={"owner": "principal"}, output="trusted")
async def create_api_key(ctx: ToolContext, owner: str) -> str:
    """Create an API key."""
    world_of(ctx).happens(ctx, Deed("api key", owner))
    return "created"
