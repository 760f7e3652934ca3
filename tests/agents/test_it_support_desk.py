"""The ticket desk: every change once per key, by itself in its own transaction."""

import asyncio

import pytest

from activities.tools import ToolError
from agents.it_support import desk, tools
from agents.it_support.desk import prepare_desk
from tests.agents.desk import context


async def test_preparing_the_desk_again_changes_nothing(database_url: str) -> None:
    await asyncio.gather(prepare_desk(database_url), prepare_desk(database_url))
    await tools.close_ticket(context(desk_dsn=database_url), ticket=1)
    await prepare_desk(database_url)
    assert [row.ticket for row in await tools.list_tickets(context(desk_dsn=database_url))] == list(range(2, 9))


async def test_a_ticket_is_opened_once_per_key_even_by_two_attempts_at_once(database_url: str) -> None:
    await prepare_desk(database_url)
    ctx = context(desk_dsn=database_url)
    first, second = await asyncio.gather(*(tools.open_ticket(ctx, subject="New", body="Text") for _ in range(2)))
    other = await tools.open_ticket(context("1.1", desk_dsn=database_url), subject="New", body="Text")
    assert first == second != other
    assert len(await tools.list_tickets(ctx)) == 8 + 2


async def test_a_late_repeat_does_not_close_a_ticket_that_was_opened_again(database_url: str) -> None:
    await prepare_desk(database_url)
    ctx = context(desk_dsn=database_url)
    closed = await tools.close_ticket(ctx, ticket=1, resolution="Done.")
    await tools.reopen_ticket(context("1.1", desk_dsn=database_url), ticket=1)
    assert await tools.close_ticket(ctx, ticket=1, resolution="Done.") == closed
    assert (await tools.read_ticket(ctx, ticket=1)).status == "open"


async def test_a_comment_is_made_once_and_can_be_withdrawn(database_url: str) -> None:
    await prepare_desk(database_url)
    ctx = context(desk_dsn=database_url)
    added = [await tools.add_comment(ctx, ticket=2, text="Hello") for _ in range(2)]
    assert [comment.text for comment in (await tools.read_ticket(ctx, ticket=2)).comments] == ["Hello"]
    await tools.withdraw_comment(context("1.1", desk_dsn=database_url), comment=added[1].comment)
    assert (await tools.read_ticket(ctx, ticket=2)).comments == []


async def test_a_refused_change_leaves_its_key_unused(database_url: str) -> None:
    await prepare_desk(database_url)
    ctx = context(desk_dsn=database_url)
    with pytest.raises(ToolError, match="there is no ticket 99"):
        await tools.close_ticket(ctx, ticket=99)
    assert (await tools.close_ticket(ctx, ticket=1)).status == "closed"


async def test_a_database_without_a_desk_says_what_to_do(database_url: str) -> None:
    with pytest.raises(ToolError, match="prepare_desk"):
        await desk.read(database_url, "open_tickets")
