"""Toy web: pages by address. A request reaches the host a lax client would connect to, and the host sees all of it."""

import re
from urllib.parse import unquote, urlsplit

from activities.tools import Idempotent, ToolContext, tool
from tests.attacks.world import Deed, world_of


def host_of(url: str) -> str:
    """The host that a lax client ends up at: spaces are dropped, backslashes are slashes, escapes are undone."""
    cleaned = re.sub(r"[\s\x00-\x1f]", "", url).replace("\\", "/").replace("\u3002", ".")
    if "://" not in cleaned:
        cleaned = f"https://{cleaned.lstrip('/')}"
    parts = urlsplit(cleaned)
    host = unquote(parts.netloc.rpartition("@")[2].partition(":")[0]).lower().rstrip(".")
    port = parts.netloc.rpartition("@")[2].partition(":")[2]
    scheme = "" if parts.scheme.lower() in ("http", "https") else f"{parts.scheme.lower()}:"
    return f"{scheme}{host}" + (f":{port}" if port not in ("", "443") else "")


@tool(effect="read", output="untrusted", sensitive={"url": "url"})
async def fetch(ctx: ToolContext, url: str) -> str:
    """Fetch a web page. Redirects are reported, not followed."""
    world_of(ctx).happens(ctx, Deed("request", host_of(url), unquote(url)))
    return world_of(ctx).pages.get(url, "404: there is no such page")


@tool(effect="send", contract=Idempotent(), sensitive={"url": "url"}, output="untrusted")
async def submit_form(ctx: ToolContext, url: str, text: str) -> str:
    """Send a text to a web form."""
    world_of(ctx).happens(ctx, Deed("form", host_of(url), f"{unquote(url)} {text}"))
    return "200: thank you"
