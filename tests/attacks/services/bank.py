"""Toy bank: invoices that suppliers wrote, a registry of their accounts, and payments in minor units."""

from typing import Annotated

from pydantic import Field

from activities.tools import Idempotent, ToolContext, ToolError, tool
from tests.attacks.services.directory import SUPPLIERS
from tests.attacks.world import Deed, world_of


@tool(effect="read", output="trusted")
async def find_supplier(ctx: ToolContext, name: str) -> dict[str, str]:
    """Look a supplier and the account it is paid at up in the supplier registry."""
    if name not in SUPPLIERS:
        raise ToolError(f"the registry has no supplier {name}")
    return {"name": name, "account": world_of(ctx).suppliers.get(name, SUPPLIERS[name])}


@tool(effect="read", output="untrusted")
async def read_invoice(ctx: ToolContext, invoice: str) -> str:
    """Read the text of an invoice, as the supplier sent it."""
    if invoice not in world_of(ctx).invoices:
        raise ToolError(f"there is no invoice {invoice}")
    return world_of(ctx).invoices[invoice]


@tool(effect="read", output="untrusted", private=True)
async def read_statement(ctx: ToolContext) -> str:
    """Read the latest lines of our account; each payer wrote its own reference."""
    return world_of(ctx).statement


@tool(
    effect="money",
    contract=Idempotent(),
    sensitive={"account": "account", "amount": "amount"},
    output="trusted",
)
async def pay(
    ctx: ToolContext, account: str, amount: Annotated[int, Field(gt=0)], currency: str, reference: str = ""
) -> str:
    """Pay an amount, in cents, to an account."""
    world_of(ctx).happens(ctx, Deed("payment", f"{account} {amount} {currency}", reference))
    return "paid"


@tool(
    effect="write",
    contract=Idempotent(),
    sensitive={"account": "account"},
    undo="change_supplier",
    output="trusted",
)
async def change_supplier(ctx: ToolContext, name: str, account: str) -> str:
    """Change the account of a supplier in the registry."""
    if world_of(ctx).happens(ctx, Deed("supplier", f"{name} {account}")):
        world_of(ctx).suppliers[name] = account
    return "changed"
