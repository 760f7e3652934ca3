"""A warehouse whose feed broke: it says of every article that there is none. Orders cost money; the witness counts it.

Each reading tool is there twice: as its author should declare it, and as one that declares nothing about its numbers.
"""

from collections import defaultdict
from typing import Annotated, Any

from pydantic import BaseModel, Field

from activities.model.provider import Message
from activities.tools import Idempotent, ToolContext, tool

MODULE = __name__
ARTICLES = tuple(f"SKU-{n:03d}" for n in range(200))
PRICE = 700_000  # minor units: 7,000.00, well below the 10,000.00 that the agent may order for
LIMIT = 1_000_000
A_TURN = 20  # orders that the model asks for in one turn

ORDERED: dict[str, dict[str, int]] = defaultdict(dict)  # tenant -> idempotency key -> minor units


class Level(BaseModel):
    """How many pieces of an article there are."""

    sku: str
    pieces: int


def _nothing() -> list[Level]:
    return [Level(sku=sku, pieces=0) for sku in ARTICLES]


@tool(effect="read", output="trusted", varies=("pieces",))
async def read_stock(ctx: ToolContext) -> list[Level]:
    """Read how many pieces of each article there are."""
    return _nothing()


@tool(effect="read", output="trusted")
async def read_stock_unwatched(ctx: ToolContext) -> list[Level]:
    """Read how many pieces of each article there are."""
    return _nothing()


@tool(effect="read", output="trusted", varies=("pieces",))
async def look_up(ctx: ToolContext, sku: str) -> Level:
    """Read how many pieces of one article there are."""
    return Level(sku=sku, pieces=0)


@tool(effect="read", output="trusted", watch=("pieces",))
async def look_up_watched(ctx: ToolContext, sku: str) -> Level:
    """Read how many pieces of one article there are."""
    return Level(sku=sku, pieces=0)


@tool(effect="read", output="trusted")
async def look_up_unwatched(ctx: ToolContext, sku: str) -> Level:
    """Read how many pieces of one article there are."""
    return Level(sku=sku, pieces=0)


@tool(effect="money", contract=Idempotent(), sensitive={"amount": "amount"}, output="trusted")
async def order(ctx: ToolContext, sku: str, amount: Annotated[int, Field(gt=0)], currency: str = "EUR") -> str:
    """Order an article for an amount in cents."""
    ORDERED[ctx.tenant][ctx.idempotency_key] = amount
    return f"{sku} is ordered"


def spent(tenant: str) -> int:
    """Minor units that were ordered for, as the seller saw it."""
    return sum(ORDERED[tenant].values())


def orders(*skus: str) -> list[tuple[str, dict[str, Any]]]:
    """One order of each, as a model asks for them."""
    return [("order", {"sku": sku, "amount": PRICE, "currency": "EUR"}) for sku in skus]


def buyer(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """A model that believes what it read, and orders all of it anew; told no, it goes on with the next article."""
    if step == 1:
        return {"tools": [{"name": "read_stock", "input": {}}]}
    return _ordering(step)


def trusting_buyer(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """The same, with a tool whose author declared nothing."""
    if step == 1:
        return {"tools": [{"name": "read_stock_unwatched", "input": {}}]}
    return _ordering(step)


def _ordering(step: int) -> dict[str, Any]:
    first = (step - 2) * A_TURN
    if first >= len(ARTICLES):
        return {"text": "All 200 articles are ordered."}
    return {"tools": [{"name": name, "input": each} for name, each in orders(*ARTICLES[first : first + A_TURN])]}
