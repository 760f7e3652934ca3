"""Bad data is noticed: results are weighed against the tool's own history, on real Postgres, and nothing poisons it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel

from activities.gateway.execution import plausibility
from activities.gateway.execution.perform import perform, probe
from activities.gateway.execution.plausibility import APART, AnsweredCall, with_plausibility
from activities.gateway.execution.results import REASON_LIMIT, SHOWN_LIMIT, Result, from_error, from_value
from activities.policy.data_checks.drift import RUN
from activities.policy.data_checks.uniform_values import ENOUGH
from activities.storage.database import Database, StoreUnavailable
from activities.tools import Checkable, ToolContext, tool
from activities.tools.decorator import SPEC
from activities.tools.spec import ToolSpec

CTX = ToolContext(run_id="agent/a/1", call_id="2.0", agent="a", tenant="acme")
STOCK = [float(110 + i * 7 % 17) for i in range(200)]  # 110 to 126, median 118
ERRATIC = [float(i * 37 % 250) for i in range(1, 201)]  # 1 to 249: a single zero is nothing unusual
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


class Item(BaseModel):
    """One article in the warehouse."""

    stock: float | None
    price: float = 1.0


class Warehouse(BaseModel):
    """Many of them."""

    items: list[Item]


def _not_negative(found: Warehouse) -> None:
    if any((item.stock or 0) < 0 for item in found.items):
        raise ValueError("a stock below\nzero.")


@tool(effect="read", output="trusted", watch=("items.stock", "items.price"), check=_not_negative)
async def warehouse(ctx: ToolContext, stock: list[float]) -> Warehouse:
    """How much is there."""
    return Warehouse(items=[Item(stock=each) for each in stock])


@tool(effect="read", output="trusted", check=_not_negative)
async def unwatched(ctx: ToolContext, stock: list[float]) -> Warehouse:
    """How much is there, though nobody compares."""
    return Warehouse(items=[Item(stock=each) for each in stock])


@tool(effect="read", output="trusted", varies=("items.stock",))
async def shelves(ctx: ToolContext, stock: list[float]) -> Warehouse:
    """How much is there, of articles that are never all alike."""
    return Warehouse(items=[Item(stock=each) for each in stock])


@tool(effect="read", output="trusted", watch=("stock",))
async def lies(ctx: ToolContext) -> Item:
    """Return a text where an article is declared."""
    return "none"  # type: ignore[return-value]


def spec_of(function: Callable[..., Any]) -> ToolSpec:
    """The spec of a declared function."""
    spec: ToolSpec = getattr(function, SPEC)
    return spec


SPEC_OF_WAREHOUSE = spec_of(warehouse)
SPEC_OF_SHELVES = spec_of(shelves)


async def read(stock: list[float], spec: ToolSpec = SPEC_OF_WAREHOUSE) -> Result:
    """What the tool left, before it was weighed."""
    result = await perform(spec, CTX, {"stock": stock})
    assert isinstance(result, Result)
    return result


class Feed:
    """Calls of the warehouse tool, one after the other, each weighed as the gateway does it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.calls = 0

    async def gives(self, *stock: float, run: str = CTX.run_id, tenant: str = "acme", call: str = "") -> Result:
        """The weighed result of a call that found this stock."""
        self.calls += 1
        result = await read(list(stock))
        call = call or f"{self.calls}.0"
        return await with_plausibility(
            self.database, SPEC_OF_WAREHOUSE, AnsweredCall(tenant, run, call), result.data, result
        )

    async def answers(self, asked: str, *stock: float, run: str = CTX.run_id, call: str = "") -> Result:
        """The weighed result of a question to a tool whose articles are never all alike."""
        self.calls += 1
        result = await read(list(stock), SPEC_OF_SHELVES)
        call = call or f"{self.calls}.0"
        await self.execute(
            "INSERT INTO calls (run_id, call_id, step, seq, tool, arguments, digest) "
            "VALUES ($1, $2, 1, 1, 'shelves', '{}', $3) ON CONFLICT DO NOTHING",
            run, call, asked,
        )  # fmt: skip
        return await with_plausibility(
            self.database, SPEC_OF_SHELVES, AnsweredCall("acme", run, call, asked), result.data, result
        )

    async def has_given(self, history: list[float], run: str = "agent/a/0", tenant: str = "acme") -> None:
        """A history, as earlier calls left it."""
        await self.execute(
            "INSERT INTO observations (tenant, tool, field, run_id, call_id, value, at) "
            "SELECT $1, 'warehouse', 'items.stock', $2, 'h' || n, v, now() - interval '1 day' + n * interval '1 s' "
            "FROM unnest($3::float8[]) WITH ORDINALITY AS h (v, n)",
            tenant,
            run,
            history,
        )

    async def stored(self, field: str = "items.stock") -> list[float]:
        """The samples stored under this name, oldest first."""
        pool = await self.database.pool()
        rows = await pool.fetch("SELECT value FROM observations WHERE field = $1 ORDER BY at, call_id", field)
        return [row["value"] for row in rows]

    async def execute(self, sql: str, *arguments: Any) -> None:
        """Any statement."""
        await (await self.database.pool()).execute(sql, *arguments)


@pytest_asyncio.fixture
async def feed(database_url: str) -> AsyncIterator[Feed]:
    """A feed into an empty history."""
    database = Database(database_url)
    yield Feed(database)
    await database.close()


# ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_result_that_its_check_refuses_is_shown_whole_and_marked_suspect() -> None:
    result = await read([-4, 2])
    assert result.suspect == "a stock below zero"
    first, _, rest = result.text.partition("\n")
    assert first == "[suspect: a stock below zero. What you do because of it will be asked about.]"
    assert '"stock": -4.0' in rest and not result.is_error
    assert result.data["items"][1]["stock"] == 2.0


async def test_a_result_of_another_type_is_an_error_and_suspect() -> None:
    result = await perform(spec_of(lies), CTX, {})
    assert isinstance(result, Result) and result.is_error and result.data is None
    assert result.text.startswith("[suspect: lies did not return what it declares.")
    assert "cannot be used" in result.text and "another type" in result.text


async def test_a_result_that_passes_says_nothing_of_suspicion() -> None:
    result = await read([2])
    assert result.suspect is None and result.text == '{"items": [{"stock": 2.0, "price": 1.0}]}'


async def test_what_a_probe_found_is_checked_as_what_a_tool_returned() -> None:
    async def _found(ctx: ToolContext) -> Warehouse:
        return Warehouse(items=[Item(stock=-1)])

    @tool(effect="write", contract=Checkable(_found), undo="x", check=_not_negative)
    async def ordered(ctx: ToolContext) -> Warehouse:
        """Order."""
        raise AssertionError

    result = await probe(spec_of(ordered), CTX, {})
    assert isinstance(result, Result) and result.suspect and result.settled_by == "probe"


def test_each_reason_is_told_once_in_one_first_line() -> None:
    result = from_value("data", "trusted", "1.0").suspected("one.").suspected(" two\n]lines ")
    assert result.suspect == "one; two ]lines"
    assert result.text == "[suspect: one; two ]lines. What you do because of it will be asked about.]\ndata"


@pytest.mark.parametrize("reason", ["", " \n", "...", "r" * 10_000, "\x00\ud800"])
def test_any_reason_makes_it_suspect_in_a_line_of_bounded_length(reason: str) -> None:
    result = from_value("data", "trusted", "1.0").suspected(reason)
    assert result.suspect and len(result.suspect) <= REASON_LIMIT
    assert result.text.encode().count(b"\n") == 1 and "\x00" not in result.text
    again = result.suspected("another")
    assert again.suspect and again.text.endswith("]\ndata") and again.text.count("[suspect") == 1


def test_a_long_suspect_result_keeps_its_pages_as_they_are() -> None:
    plain = from_value("x" * (SHOWN_LIMIT + 1), "untrusted", "1.0")
    suspect = plain.suspected("odd")
    assert suspect.text.endswith(plain.text) and suspect.spilled == plain.spilled and suspect.size == plain.size


# ── drift against the history ───────────────────────────────────────────────────────────────────────────────────────


async def test_two_hundred_articles_all_at_zero_are_suspect_after_a_normal_history(feed: Feed) -> None:
    await feed.has_given(STOCK)
    result = await feed.gives(*[0.0] * 200)
    assert result.suspect == "items.stock is 0, usually 118 (median of 200), robust z = -19.9"
    assert result.text.startswith(f"[suspect: {result.suspect}.") and '"stock": 0.0' in result.text
    assert not result.is_error


@pytest.mark.parametrize("runs", [1, 200], ids=["by one run", "each by a run of its own"])
@pytest.mark.parametrize("history", [STOCK, ERRATIC], ids=["steady", "erratic"])
async def test_single_reads_of_zero_become_suspect_within_ten_and_stay_so(
    feed: Feed, history: list[float], runs: int
) -> None:
    await feed.has_given(history)
    results = [await feed.gives(0, run=f"agent/a/{n % runs + 1}") for n in range(200)]
    suspects = [result.suspect is not None for result in results]
    assert all(suspects[9:])
    assert suspects[0] is (history is STOCK)


async def test_a_run_of_zeros_is_seen_between_the_reads_of_others(feed: Feed) -> None:
    await feed.has_given(ERRATIC)
    for n in range(RUN):
        assert (await feed.gives(100.0 + n, run="agent/b/1")).suspect is None
        result = await feed.gives(0)
    assert result.suspect and f"each of the last {RUN} samples" in result.suspect


async def test_normal_stock_is_never_suspect(feed: Feed) -> None:
    await feed.has_given(STOCK)
    assert [(await feed.gives(value)).suspect for value in STOCK[:40]] == [None] * 40


async def test_a_tool_without_a_history_has_nothing_to_drift_from(feed: Feed) -> None:
    assert (await feed.gives(0)).suspect is None
    assert (await feed.gives(10**6)).suspect is None
    assert await feed.stored() == [0, 10**6]


async def test_the_history_of_one_tenant_says_nothing_about_another(feed: Feed) -> None:
    await feed.has_given(STOCK)
    assert (await feed.gives(0, tenant="other")).suspect is None
    assert (await feed.gives(0)).suspect


async def test_only_the_last_samples_count(feed: Feed) -> None:
    await feed.has_given([*[5.0] * 300, *STOCK])
    assert (await feed.gives(5)).suspect
    assert (await feed.gives(118)).suspect is None


async def test_nothing_found_is_no_sample(feed: Feed) -> None:
    await feed.has_given(STOCK)
    assert (await feed.gives()).suspect is None
    assert await feed.stored("items.price") == []


async def test_what_is_no_number_is_suspect_and_not_stored(feed: Feed) -> None:
    result = from_value("shown", "trusted", "1.0")
    data = {"items": [{"stock": "none"}, {"stock": 3, "price": 1}]}
    result = await with_plausibility(
        feed.database, SPEC_OF_WAREHOUSE, AnsweredCall("acme", "agent/a/1", "1.0"), data, result
    )
    assert result.suspect == "items.stock is text where a number belongs"
    assert await feed.stored() == await feed.stored("items.stock" + APART) == []
    assert await feed.stored("items.price" + APART) == [1]


# ── the history is not poisoned ─────────────────────────────────────────────────────────────────────────────────────


async def test_suspect_samples_never_become_the_norm(feed: Feed) -> None:
    await feed.has_given(STOCK)
    for n in range(250):
        assert (await feed.gives(0, run=f"agent/a/{n}")).suspect
    assert 0 not in await feed.stored()
    assert (await feed.gives(118)).suspect is None


async def test_a_stuck_feed_leaves_one_zero_in_the_history_however_long_it_lasts(feed: Feed) -> None:
    await feed.has_given(ERRATIC)
    for n in range(60):
        await feed.gives(0, run=f"agent/a/{n % 7}")
    assert (await feed.stored()).count(0) == 1
    assert (await feed.stored("items.stock" + APART)).count(0) == 59


async def test_without_keeping_them_apart_the_zeros_would_become_the_norm(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control, broken on purpose: it is what the tests above rest on."""
    monkeypatch.setattr(plausibility, "APART", "")
    await feed.has_given(STOCK)
    results = [await feed.gives(0) for _ in range(250)]
    assert results[0].suspect and results[-1].suspect is None


async def test_what_else_a_suspect_result_says_is_no_history_either(feed: Feed) -> None:
    await feed.gives(-1)
    assert await feed.stored() == await feed.stored("items.price") == []
    assert await feed.stored("items.stock" + APART) == [-1]
    assert await feed.stored("items.price" + APART) == [1]


async def test_a_check_and_a_drift_are_both_told(feed: Feed) -> None:
    await feed.has_given(STOCK)
    result = await feed.gives(-118)
    assert result.suspect and result.suspect.startswith("a stock below zero; items.stock is -118, usually 118")
    assert result.text.count("[suspect") == 1


# ── items that should differ ────────────────────────────────────────────────────────────────────────────────────────


async def test_two_hundred_articles_at_zero_are_suspect_at_the_first_call_there_ever_was(feed: Feed) -> None:
    result = await feed.answers("all", *[0.0] * 200)
    assert result.suspect == "items.stock is 0 in 200 of 200 items, which should differ"
    assert (await feed.answers("all", *[float(n) for n in range(200)])).suspect is None


@pytest.mark.parametrize("runs", [1, 7])
async def test_different_questions_that_all_have_one_answer_are_suspect_from_the_twentieth_on(
    feed: Feed, runs: int
) -> None:
    results = [await feed.answers(f"sku-{n}", 0, run=f"agent/a/{n % runs}") for n in range(25)]
    assert [result.suspect is not None for result in results] == [False] * 19 + [True] * 6


async def test_one_question_that_is_asked_over_and_over_may_have_one_answer(feed: Feed) -> None:
    results = [await feed.answers("sku-1", 4) for _ in range(40)]
    assert [result.suspect for result in results] == [None] * 40


async def test_one_article_that_differs_ends_the_row(feed: Feed) -> None:
    for n in range(19):
        await feed.answers(f"sku-{n}", 0)
    assert (await feed.answers("sku-19", 3)).suspect is None
    assert (await feed.answers("sku-20", 0)).suspect is None


async def test_of_questions_side_by_side_the_last_one_sees_them_all(feed: Feed) -> None:
    results = await asyncio.gather(*(feed.answers(f"sku-{n}", 0) for n in range(ENOUGH)))
    assert any(result.suspect for result in results)


async def test_who_is_asked_again_after_a_lost_reply_counts_once(feed: Feed) -> None:
    for n in range(18):
        await feed.answers(f"sku-{n}", 0)
    again = [await feed.answers("sku-18", 0, call="99.0") for _ in range(5)]
    assert [result.suspect for result in again] == [None] * 5


# ── again, and when the store is away ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stock", [118, 0])
async def test_a_call_that_is_weighed_again_gets_the_same_answer_and_leaves_one_sample(feed: Feed, stock: int) -> None:
    await feed.has_given(STOCK)
    first, second = [await feed.gives(stock, call="7.0") for _ in range(2)]
    assert first == second
    assert len(await feed.stored()) + len(await feed.stored("items.stock" + APART)) == len(STOCK) + 1


async def test_weighing_again_does_not_count_towards_a_run(feed: Feed) -> None:
    await feed.has_given(ERRATIC)
    earlier = [await feed.gives(0) for _ in range(RUN - 2)]
    again = [await feed.gives(0, call="99.0") for _ in range(3)]
    assert [result.suspect for result in (*earlier, *again)] == [None] * (RUN + 1)
    assert (await feed.gives(0)).suspect


async def test_a_store_that_is_away_is_said_and_not_taken_for_plausible() -> None:
    database = Database(NOWHERE)
    result = await read([1])
    with pytest.raises(StoreUnavailable):
        await with_plausibility(
            database, SPEC_OF_WAREHOUSE, AnsweredCall("acme", "agent/a/1", "1.0"), result.data, result
        )


async def test_a_tool_without_watched_fields_and_an_error_cost_no_round_trip() -> None:
    database = Database(NOWHERE)
    result, error = await read([-1], spec_of(unwatched)), from_error("it broke")
    asked = AnsweredCall("acme", "r", "1.0")
    assert await with_plausibility(database, spec_of(unwatched), asked, result.data, result) is result
    assert await with_plausibility(database, SPEC_OF_WAREHOUSE, asked, error.data, error) is error
