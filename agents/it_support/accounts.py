"""Client of the accounts service: one POST per change, with the call's idempotency key; and one-time codes."""

from urllib.parse import quote

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
    return Receipt.model_validate_json(await _posted(ctx, f"/{change}", body, headers))


async def send_code(ctx: ToolContext, person: str, code: str, what: str) -> None:
    """Bring a one-time code to a person's registered phone: `deliver` in agent.yaml. Raises ToolError without one."""
    await _posted(ctx, f"/phone/{quote(person, safe='@')}", {"code": code, "about": what}, {})


async def _posted(ctx: ToolContext, path: str, body: dict[str, str], headers: dict[str, str]) -> bytes:
    async with (
        aiohttp.ClientSession(ctx.setting("accounts_url"), headers=headers) as session,
        session.post(path, json=body) as response,
    ):
        if 400 <= response.status < 500:
            raise ToolError(f"the accounts service refused: {await response.text()}")
        response.raise_for_status()
        return await response.read()
