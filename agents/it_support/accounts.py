"""Client of the accounts service: one POST per change, with the call's own key, so that it happens once."""

import aiohttp
from pydantic import BaseModel

from activities.tools import ToolContext, ToolError


class Receipt(BaseModel):
    """What the service did. A repeat of the call gets the same receipt."""

    reference: str
    account: str
    product: str | None = None
    message: str


async def perform(ctx: ToolContext, change: str, **body: str) -> Receipt:
    """Ask the service for a change. Raises ToolError if it refuses; anything else leaves the outcome in doubt."""
    headers = {"Idempotency-Key": ctx.idempotency_key}
    async with (
        aiohttp.ClientSession(ctx.setting("accounts_url"), headers=headers) as session,
        session.post(f"/{change}", json=body) as response,
    ):
        if 400 <= response.status < 500:
            raise ToolError(f"the accounts service refused: {await response.text()}")
        response.raise_for_status()
        return Receipt.model_validate_json(await response.read())
