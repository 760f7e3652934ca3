"""A shop's tools: stock that may be wrong, and orders that cost money. What was ordered is noted by tenant."""

from collections import defaultdict
from typing import Annotated, Any

from pydantic import BaseModel, Field

from activities.model.provider import Message
from activities.tools import Idempotent, ToolContext, ToolError, tool

MODULE = __name__
ORDERED: dict[str, dict[str, int]] = defaultdict(dict)  # tenant -> idempotency key -> minor units
SKUS, PRICE = 200, 700_000  # 7,000.00 each: every order is allowed; all of them are 1.4 million


class Stock(BaseModel):
    """How much of an article is there."""

    sku: str
    pieces: int


@tool(effect="read", output="trusted")
async def read_stock(ctx: ToolContext) -> list[Stock]:
    """Read how many pieces of each article are there. Today the feed is broken, and says that there are none."""
    return [Stock(sku=f"sku-{n}", pieces=0) for n in range(SKUS)]


@tool(effect="money", contract=Idempotent(), sensitive={"amount": "amount"}, output="trusted")
async def order(ctx: ToolContext, sku: str, amount: Annotated[int, Field(gt=0)], currency: str = "EUR") -> str:
    """Order an article for an amount in cents."""
    if sku == "out-of-print":
        raise ToolError("nobody makes it any more")
    ORDERED[ctx.tenant][ctx.idempotency_key] = amount
    return "ordered"


@tool(effect="money", contract=Idempotent(), sensitive={"amount": "amount"}, output="trusted")
async def order_and_hang_up(ctx: ToolContext, sku: str, amount: Annotated[int, Field(gt=0)]) -> str:
    """Order an article, lose the reply, and refuse whoever asks again."""
    if ctx.idempotency_key in ORDERED[ctx.tenant]:
        raise ToolError("the shop has closed")
    ORDERED[ctx.tenant][ctx.idempotency_key] = amount
    raise ConnectionError("the reply was lost")


def buyer(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """A model that orders whatever there is none of, a few articles a turn."""
    if step == 1:
        return {"tools": [{"name": "read_stock", "input": {}}]}
    first = (step - 2) * 20
    if first >= SKUS:
        return {"text": "all is ordered"}
    wanted = [{"sku": f"sku-{n}", "amount": PRICE} for n in range(first, first + 20)]
    return {"tools": [{"name": "order", "input": each} for each in wanted]}
