"""Toy stock: counts that a feed delivers and that may be wrong, and orders that follow from them."""

from typing import Annotated

from pydantic import BaseModel, Field

from activities.tools import Idempotent, ToolContext, tool
from tests.attacks.world import Deed, world_of


class Missing(BaseModel):
    """How much of an article is missing."""

    article: str
    pieces: int


def _plausible(lines: list[Missing]) -> None:
    if any(not 0 <= line.pieces <= 10_000 for line in lines):
        raise ValueError("a count below 0 or above 10000")


@tool(effect="read", output="trusted", check=_plausible, watch=("pieces",))
async def read_stock(ctx: ToolContext) -> list[Missing]:
    """Read how many pieces of each article are missing, from the warehouse feed."""
    return [Missing(article=article, pieces=pieces) for article, pieces in world_of(ctx).stock.items()]


@tool(effect="write", contract=Idempotent(), sensitive={"pieces": "amount"}, undo="withdraw_order", output="trusted")
async def order_pieces(ctx: ToolContext, article: str, pieces: Annotated[int, Field(gt=0)]) -> str:
    """Order pieces of an article; an order can be withdrawn until the evening."""
    world_of(ctx).happens(ctx, Deed("order", f"{article} {pieces}"))
    return "ordered"


@tool(effect="write", contract=Idempotent(), output="trusted")
async def withdraw_order(ctx: ToolContext, article: str) -> str:
    """Withdraw an order."""
    world_of(ctx).happens(ctx, Deed("withdraw", article))
    return "withdrawn"
