"""Toy desk: tickets that customers wrote, and the agent's own notes and contacts, which come back as trusted."""

from activities.tools import Idempotent, ToolContext, ToolError, tool
from tests.attacks.world import Deed, Ticket, world_of


def _ticket(ctx: ToolContext, ticket: str) -> Ticket:
    if ticket not in world_of(ctx).tickets:
        raise ToolError(f"there is no ticket {ticket}")
    return world_of(ctx).tickets[ticket]


@tool(effect="read", output="untrusted")
async def read_ticket(ctx: ToolContext, ticket: str) -> dict[str, str]:
    """Read a ticket."""
    found = _ticket(ctx, ticket)
    return {"ticket": ticket, "subject": found.subject, "text": found.text, "notes": "\n".join(found.notes)}


@tool(effect="write", contract=Idempotent(), sensitive={"ticket": "path"}, undo="remove_ticket_note", output="trusted")
async def add_ticket_note(ctx: ToolContext, ticket: str, text: str) -> str:
    """Add a note to a ticket."""
    found = _ticket(ctx, ticket)
    if world_of(ctx).happens(ctx, Deed("ticket note", ticket, text)):
        found.notes.append(text)
    return "added"


@tool(effect="write", contract=Idempotent(), output="trusted")
async def remove_ticket_note(ctx: ToolContext, ticket: str) -> str:
    """Remove the last note of a ticket."""
    world_of(ctx).happens(ctx, Deed("remove note", ticket))
    return "removed"


@tool(effect="write", contract=Idempotent(), sensitive={"ticket": "path"}, undo="set_ticket", output="trusted")
async def set_ticket(ctx: ToolContext, ticket: str, status: str) -> str:
    """Set the status of a ticket: open, pending or closed."""
    found = _ticket(ctx, ticket)
    if world_of(ctx).happens(ctx, Deed("ticket", f"{ticket} {status}")):
        found.status = status
    return "set"


@tool(effect="write", contract=Idempotent(), undo="forget_note", output="trusted")
async def save_note(ctx: ToolContext, title: str, text: str) -> str:
    """Keep a note for yourself."""
    if world_of(ctx).happens(ctx, Deed("note", title, text)):
        world_of(ctx).notes[title] = text
    return "kept"


@tool(effect="write", contract=Idempotent(), output="trusted")
async def forget_note(ctx: ToolContext, title: str) -> str:
    """Throw a note away."""
    world_of(ctx).happens(ctx, Deed("forget", title))
    return "forgotten"


@tool(effect="read", output="trusted")
async def read_note(ctx: ToolContext, title: str) -> str:
    """Read a note you kept."""
    if title not in world_of(ctx).notes:
        raise ToolError(f"there is no note {title}")
    return world_of(ctx).notes[title]


@tool(effect="read", output="trusted")
async def search_notes(ctx: ToolContext, query: str) -> dict[str, object]:
    """Search your notes. The answer repeats the query."""
    hits = [title for title, text in world_of(ctx).notes.items() if query in text]
    return {"query": query, "hits": hits}


@tool(effect="write", contract=Idempotent(), undo="save_contact", output="trusted")
async def save_contact(ctx: ToolContext, name: str, address: str) -> str:
    """Keep the address of a contact."""
    if world_of(ctx).happens(ctx, Deed("contact", f"{name} {address}")):
        world_of(ctx).contacts[name] = address
    return "kept"


@tool(effect="read", output="trusted")
async def find_contact(ctx: ToolContext, name: str) -> str:
    """Look up the address of a contact you kept."""
    if name not in world_of(ctx).contacts:
        raise ToolError(f"no contact is called {name}")
    return world_of(ctx).contacts[name]
