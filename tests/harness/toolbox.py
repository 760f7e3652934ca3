"""Tools for tests. Each effect reports to the test's own witness, which counts what really happened, by key."""

import asyncio
from collections import Counter
from typing import Annotated, Any

from pydantic import Field

from activities.tools import Checkable, Idempotent, Irreversible, ToolContext, ToolError, tool

WITNESS: Counter[str] = Counter()  # idempotency key -> how often the effect happened, in this process
RELEASE: dict[str, asyncio.Event] = {}  # a tool that waits until the test lets it go on


@tool(effect="read", output="trusted")
async def look(ctx: ToolContext, what: str = "it") -> str:
    """Look something up."""
    return f"found {what}"


@tool(effect="read")
async def fetch(ctx: ToolContext, size: Annotated[int, Field(ge=0)] = 10) -> str:
    """Fetch text of some size from outside."""
    return "x" * size


@tool(effect="write", contract=Idempotent(), undo="take_back", output="trusted")
async def note(ctx: ToolContext, text: str) -> str:
    """Write a note that can be taken back."""
    WITNESS[ctx.idempotency_key] += 1
    return f"noted {text}"


@tool(effect="write", contract=Idempotent(), undo="note", output="trusted")
async def take_back(ctx: ToolContext, text: str) -> str:
    """Take a note back."""
    return f"took {text} back"


@tool(effect="write", contract=Idempotent(), output="trusted")
async def clear(ctx: ToolContext) -> str:
    """Take back whatever it was."""
    return "cleared"


@tool(effect="send", contract=Idempotent(), sensitive={"to": "recipient"}, output="trusted")
async def send(ctx: ToolContext, to: str, text: str = "hello") -> str:
    """Send a message to someone."""
    WITNESS[ctx.idempotency_key] += 1
    return f"sent to {to}"


@tool(effect="write", contract=Irreversible(), undo="clear", timeout=1)
async def fails_somehow(ctx: ToolContext) -> str:
    """Fail in a way that leaves the outcome in doubt."""
    WITNESS[ctx.idempotency_key] += 1
    raise RuntimeError("the connection was lost")


async def _find_flaky(ctx: ToolContext) -> str | None:
    return "it is there" if WITNESS[ctx.idempotency_key] else None


@tool(effect="write", contract=Checkable(_find_flaky), undo="clear")
async def flaky_but_checkable(ctx: ToolContext, happens: bool) -> str:
    """Raise, before or after the effect; the probe knows which."""
    if happens:
        WITNESS[ctx.idempotency_key] += 1
    raise RuntimeError("the reply was lost")


@tool(effect="write", contract=Idempotent(), undo="clear")
async def fails_twice(ctx: ToolContext) -> str:
    """Lose the reply twice, then answer as the first time."""
    WITNESS[ctx.idempotency_key] += 1
    if WITNESS[ctx.idempotency_key] < 3:
        raise ConnectionError("the reply was lost")
    return "done"


@tool(effect="read", output="trusted", timeout=1)
async def hangs(ctx: ToolContext) -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return "never"


@tool(effect="write", contract=Irreversible(), undo="clear", timeout=60)
async def waits_for_release(ctx: ToolContext, name: str) -> str:
    """Answer once the test says so."""
    WITNESS[ctx.idempotency_key] += 1
    await RELEASE.setdefault(name, asyncio.Event()).wait()
    return "released"


async def _find_any(ctx: ToolContext, **_: Any) -> str | None:
    return "it is there" if WITNESS[ctx.idempotency_key] else None


@tool(effect="write", contract=Checkable(_find_any), undo="clear", timeout=60)
async def waits_but_checkable(ctx: ToolContext, name: str, happens: bool) -> str:
    """Act, or not, and then hang; the probe knows which."""
    if happens:
        WITNESS[ctx.idempotency_key] += 1
    await RELEASE.setdefault(name, asyncio.Event()).wait()
    return "released"


@tool(effect="read", output="trusted", timeout=60)
async def looks_until_released(ctx: ToolContext, name: str) -> str:
    """Look until the test says so."""
    await RELEASE.setdefault(name, asyncio.Event()).wait()
    return "released"


@tool(effect="read", output="trusted")
async def refuses(ctx: ToolContext) -> str:
    """Refuse cleanly."""
    raise ToolError("there is no such thing")


@tool(effect="read", output="trusted")
async def raises(ctx: ToolContext, size: int = 10) -> str:
    """Raise an error with a text of some size."""
    raise ValueError("e" * size)


@tool(effect="read", output="trusted")
async def lies_about_its_type(ctx: ToolContext) -> int:
    """Return a text where an int is declared."""
    return "not a number"  # type: ignore[return-value]


@tool(effect="read", output="trusted")
async def returns_dirt(ctx: ToolContext) -> Any:
    """Return NUL, a lone surrogate and bytes that are not UTF-8."""
    return {"nul": "a\x00b", "surrogate": "c\ud800d"}


@tool(effect="read", output="trusted")
async def returns_bytes(ctx: ToolContext) -> str:
    """Return bytes that are not UTF-8."""
    return b"ab\xff\xfecd"  # type: ignore[return-value]


@tool(effect="read", output="trusted")
def looks_in_a_thread(ctx: ToolContext, what: str) -> str:
    """Look something up, synchronously."""
    return f"found {what} in a thread"


@tool(effect="write", contract=Idempotent(), undo="clear", output="trusted", timeout=60)
async def blocks_once(ctx: ToolContext, name: str) -> str:
    """Hang at the first attempt until the test says so; answer at once at the next."""
    WITNESS[ctx.idempotency_key] += 1
    attempt = WITNESS[ctx.idempotency_key]
    if attempt == 1:
        await RELEASE.setdefault(name, asyncio.Event()).wait()
    return f"attempt {attempt}"


@tool(effect="read", output="trusted")
async def returns_surrogates(ctx: ToolContext) -> str:
    """Return text with a NUL and half a surrogate pair."""
    return "a\x00b \ud83d c"


@tool(effect="read", output="trusted")
async def refuses_at_length(ctx: ToolContext, size: int) -> str:
    """Refuse cleanly, with a text of some size."""
    raise ToolError("e" * size)


@tool(effect="write", contract=Irreversible(), undo="clear")
async def fails_at_length(ctx: ToolContext, size: int) -> str:
    """Fail with a text of some size, in a way that leaves the outcome in doubt."""
    raise RuntimeError("e" * size)


@tool(effect="money", contract=Irreversible(), sensitive={"to": "account", "cents": "amount"}, output="trusted")
async def pay(ctx: ToolContext, to: str, cents: int) -> str:
    """Pay someone; if the test holds this account, once it lets go."""
    WITNESS[ctx.idempotency_key] += 1
    if to in RELEASE:
        await RELEASE[to].wait()
    return f"paid {cents} to {to}"
