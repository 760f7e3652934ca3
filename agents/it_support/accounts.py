"""Client of the accounts service: sends changes with the call's idempotency key, and delivers one-time codes."""

from urllib.parse import quote

import aiohttp
from pydantic import BaseModel

from activities.tools import ToolContext, ToolError


class Receipt(BaseModel):
    """What the service did. A repeated call gets the same receipt."""

    reference: str
    account: str
    product: str | None = None
    message: str


async def perform(ctx: ToolContext, change: str, **body: str) -> Receipt:
    """Request a change. Raises ToolError if the service refuses; after any other error the outcome is unknown."""
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return Receipt.model_validate_json(await _post(ctx, f"/{change}", body, headers))


async def send_code(ctx: ToolContext, person: str, code: str, what: str) -> None:
    """Send a one-time code to a person's registered phone (`deliver` in agent.yaml).

    Raises ToolError if no phone is registered.
    """
    await _post(ctx, f"/phone/{quote(person, safe='@')}", {"code": code, "about": what}, {})


async def _post(ctx: ToolContext, path: str, body: dict[str, str], headers: dict[str, str]) -> bytes:
    async with (
        aiohttp.ClientSession(ctx.setting("accounts_url"), headers=headers) as session,
        session.post(path, json=body) as response,
    ):
        if 400 <= response.status < 500:
            raise ToolError(f"the accounts service refused: {await response.text()}")
        response.raise_for_status()
        return await response.read()
