"""The tools of the help desk, with the declared facts that determine their tiers: reads first, then effects.

The result of a change contains every argument that its undo needs.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from activities.tools import Idempotent, ToolContext, tool
from activities.tools.facts import Sensitive
from agents.it_support import accounts, desk, kb

TicketNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
CommentNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
Account = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9._+-]+@[a-z0-9.-]+$",  # only one spelling, so that a policy can compare accounts literally
        max_length=200,
        description="As ticket_requester spells it",
    ),
]
Line = Annotated[str, Field(min_length=1, max_length=200)]
Prose = Annotated[str, Field(min_length=1, max_length=10_000)]

# A ticket number is as sensitive as an account: it has to come from a person or from the desk itself.
TICKET: dict[str, Sensitive] = {"ticket": "account"}
FOLLOWED: dict[str, Sensitive] = {"follows_ticket": "account"}


class TicketLine(BaseModel):
    """A ticket in a list."""

    ticket: int
    subject: str
    requester: str
    status: str


class Comment(BaseModel):
    """A comment on a ticket."""

    comment: int
    author: str
    text: str


class Ticket(TicketLine):
    """A ticket with its comments."""

    body: str
    resolution: str | None
    comments: list[Comment] = []


class NextTicket(BaseModel):
    """The number of the oldest open ticket."""

    ticket: int


class TicketChanged(BaseModel):
    """The result of a change of a ticket."""

    ticket: int
    status: str


class CommentChanged(BaseModel):
    """The result of a change of a comment."""

    comment: int
    ticket: int
    text: str


# ── reads ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@tool(effect="read", output="trusted")
def search_kb(ctx: ToolContext, query: Line) -> list[kb.Article]:
    """Find the articles of the knowledge base that fit a few words, best first."""
    return kb.search(query)


@tool(effect="read", output="untrusted")
async def list_tickets(ctx: ToolContext) -> list[TicketLine]:
    """List the open tickets, oldest first, at most fifty."""
    rows = await desk.read(ctx.setting("desk_dsn"), "open_tickets")
    return [TicketLine(**row) for row in rows]


@tool(effect="read", output="untrusted")
async def read_ticket(ctx: ToolContext, ticket: TicketNumber) -> Ticket:
    """Read a ticket and its comments."""
    found = await desk.read_one(ctx.setting("desk_dsn"), "ticket", ticket=ticket)
    comments = await desk.read(ctx.setting("desk_dsn"), "comments", ticket=ticket)
    return Ticket(**found, comments=[Comment(**row) for row in comments])


@tool(effect="read", sensitive=TICKET, output="trusted")
async def ticket_requester(ctx: ToolContext, ticket: TicketNumber) -> str:
    """Tell which account filed a ticket. The desk knows it from the sign-in, not from what the ticket says."""
    found = await desk.read_one(ctx.setting("desk_dsn"), "requester", ticket=ticket)
    return str(found["requester"])


@tool(effect="read", output="trusted")
async def next_ticket(ctx: ToolContext) -> NextTicket:
    """Tell which open ticket is the oldest. The number comes from the desk's own queue, not from a ticket."""
    return NextTicket(**await desk.read_one(ctx.setting("desk_dsn"), "next_ticket"))


# ── tickets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@tool(effect="write", contract=Idempotent(), sensitive=FOLLOWED, undo="close_ticket", output="trusted")
async def open_ticket(
    ctx: ToolContext, subject: Line, body: Prose, follows_ticket: TicketNumber | None = None
) -> TicketChanged:
    """Open a ticket. If it follows up on another ticket, give the number of that ticket."""
    body = body if follows_ticket is None else f"{body}\n\nFollows ticket {follows_ticket}."
    opened = await desk.change(
        ctx.setting("desk_dsn"),
        ctx.idempotency_key,
        "open_ticket",
        subject=subject,
        body=body,
        requester=ctx.requester or ctx.agent,
    )
    return TicketChanged(**opened)


@tool(effect="write", contract=Idempotent(), sensitive=TICKET, undo="reopen_ticket", output="trusted")
async def close_ticket(ctx: ToolContext, ticket: TicketNumber, resolution: Prose = "Withdrawn.") -> TicketChanged:
    """Close an open ticket, saying how it was resolved."""
    closed = await desk.change(
        ctx.setting("desk_dsn"), ctx.idempotency_key, "close_ticket", ticket=ticket, resolution=resolution
    )
    return TicketChanged(**closed)


@tool(effect="write", contract=Idempotent(), sensitive=TICKET, undo="close_ticket", output="trusted")
async def reopen_ticket(ctx: ToolContext, ticket: TicketNumber) -> TicketChanged:
    """Open a closed ticket again."""
    opened = await desk.change(ctx.setting("desk_dsn"), ctx.idempotency_key, "reopen_ticket", ticket=ticket)
    return TicketChanged(**opened)


@tool(effect="write", contract=Idempotent(), sensitive=TICKET, undo="withdraw_comment", output="trusted")
async def add_comment(ctx: ToolContext, ticket: TicketNumber, text: Prose) -> CommentChanged:
    """Add a comment to a ticket; its requester reads it."""
    added = await desk.change(
        ctx.setting("desk_dsn"), ctx.idempotency_key, "add_comment", ticket=ticket, author=ctx.agent, text=text
    )
    return CommentChanged(**added)


# Untrusted, because the comment in its result may repeat text of a ticket.
@tool(effect="write", contract=Idempotent(), undo="add_comment", output="untrusted")
async def withdraw_comment(ctx: ToolContext, comment: CommentNumber) -> CommentChanged:
    """Remove a comment that you made."""
    removed = await desk.change(
        ctx.setting("desk_dsn"), ctx.idempotency_key, "withdraw_comment", comment=comment, author=ctx.agent
    )
    return CommentChanged(**removed)


# ── accounts ────────────────────────────────────────────────────────────────────────────────────────────────────────


@tool(
    effect="write",
    contract=Idempotent(),
    sensitive={"account": "account"},
    undo="revoke_licence",
    output="trusted",
)
async def assign_licence(ctx: ToolContext, account: Account, product: Line) -> accounts.Receipt:
    """Give an account a licence for a product, such as password-manager."""
    return await accounts.perform(ctx, "assign_licence", account=account, product=product)


@tool(
    effect="write",
    contract=Idempotent(),
    sensitive={"account": "account"},
    undo="assign_licence",
    output="trusted",
)
async def revoke_licence(ctx: ToolContext, account: Account, product: Line) -> accounts.Receipt:
    """Take a licence for a product from an account."""
    return await accounts.perform(ctx, "revoke_licence", account=account, product=product)


# No undo, because the old password is gone for good; so a person is asked first.
@tool(effect="write", contract=Idempotent(), sensitive={"account": "account"}, output="trusted")
async def reset_password(ctx: ToolContext, account: Account) -> accounts.Receipt:
    """Invalidate the password of an account and send a one-time link to its registered phone."""
    return await accounts.perform(ctx, "reset_password", account=account)


# No undo, because removing a program does not revert what it did to the laptop.
@tool(effect="write", contract=Idempotent(), sensitive={"account": "account"}, output="trusted")
async def install_software(ctx: ToolContext, account: Account, product: Line) -> accounts.Receipt:
    """Install a product of the software catalogue, such as sql-client, on the laptop of an account."""
    return await accounts.perform(ctx, "install_software", account=account, product=product)
