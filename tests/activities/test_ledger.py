"""The ledger in Postgres: all windows or none, each hold once, nothing above a cap, nothing forgotten."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.ledger.caps import MOST
from activities.ledger.ledger import Ledger, window_arguments
from activities.ledger.windows import CapReached, Window
from activities.storage.database import Database

_numbers = itertools.count()


@pytest_asyncio.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    database = Database(database_url)
    yield Ledger(database)
    await database.close()


@pytest_asyncio.fixture
async def unchecked(ledger: Ledger) -> Ledger:
    """A ledger without the CHECK: the functions alone keep to the caps, and the trigger watches them."""
    await run(ledger, "ALTER TABLE windows DROP CONSTRAINT windows_within_cap")
    return ledger


def window(key: str = "a", cap: int = 10, amount: int = 1, **more: Any) -> Window:
    place = {"tenant": "acme", "scope": "agent", "unit": "calls", "call_class": "*", "period": "day"}
    return Window(**{**place, "key": key, "cap": cap, "amount": amount, "rule": "budget.x", **more})


async def run(ledger: Ledger, sql: str, *arguments: Any) -> list[Any]:
    pool = await ledger.database.pool()
    return list(await pool.fetch(sql, *arguments))


async def hold(ledger: Ledger, *windows: Window, name: str = "") -> str:
    """A hold of these windows, under a name of its own."""
    name = name or f"r/{next(_numbers)}"
    await ledger.reserve(name, "r", windows, seconds=60)
    return name


async def used(ledger: Ledger, key: str = "a") -> tuple[int, int, int]:
    """(settled, reserved, overrun) of a window; zeros while it was never used."""
    rows = await run(ledger, "SELECT settled, reserved, overrun FROM windows WHERE key = $1", key)
    return tuple(rows[0]) if rows else (0, 0, 0)  # type: ignore[return-value]


# ── one hold ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_reserved_is_counted_until_it_is_settled_or_released(ledger: Ledger) -> None:
    one, two = await hold(ledger, window(amount=4)), await hold(ledger, window(amount=3))
    assert await used(ledger) == (0, 7, 0)
    assert await ledger.settle(one, {"calls": 2})
    assert await used(ledger) == (2, 3, 0)
    assert await ledger.release(two)
    assert await used(ledger) == (2, 0, 0)


async def test_too_little_left_in_one_window_reserves_from_none(ledger: Ledger) -> None:
    await hold(ledger, window("b", cap=5, amount=4))
    with pytest.raises(
        CapReached, match=r"1 of 5 calls a day are left to this agent \(0 used, 4 reserved\), .* needs 2"
    ):
        await hold(ledger, window("a", amount=2), window("b", cap=5, amount=2), window("c", amount=2))
    assert [await used(ledger, key) for key in "abc"] == [(0, 0, 0), (0, 4, 0), (0, 0, 0)]
    assert len(await run(ledger, "SELECT FROM holds")) == 1


async def test_a_hold_that_is_there_is_not_reserved_again_and_says_what_it_has(ledger: Ledger) -> None:
    windows = [window(amount=4), window("b", amount=4, unit="tokens")]
    assert await ledger.reserve("r/1", "r", windows, seconds=60) is None
    again = await ledger.reserve("r/1", "r", [window(amount=9)], seconds=60)
    assert again == {"calls": 4, "tokens": 4} and await used(ledger) == (0, 4, 0)
    taken = await asyncio.gather(*(ledger.reserve("r/2", "r", windows, seconds=60) for _ in range(8)))
    assert taken.count(None) == 1 and await used(ledger) == (0, 8, 0)


async def test_settling_and_releasing_again_change_nothing(ledger: Ledger) -> None:
    name = await hold(ledger, window(amount=4))
    ends = await asyncio.gather(*(ledger.settle(name, {"calls": 3}) for _ in range(8)))
    assert ends.count(True) == 1
    assert not await ledger.release(name) and not await ledger.settle(name, {"calls": 9})
    assert await used(ledger) == (3, 0, 0)
    assert not await ledger.settle("r/never-made") and not await ledger.release("r/never-made")


async def test_what_was_released_and_used_all_the_same_is_counted(ledger: Ledger) -> None:
    name = await hold(ledger, window(amount=4))
    await ledger.release(name)
    assert await ledger.settle(name, {"calls": 3})
    assert await used(ledger) == (3, 0, 0)


async def test_what_was_released_can_be_reserved_again_under_its_name(ledger: Ledger) -> None:
    name = await hold(ledger, window(amount=4))
    await ledger.release(name)
    await hold(ledger, window(amount=5), name=name)
    assert await used(ledger) == (0, 5, 0)


async def test_use_beyond_the_cap_is_kept_and_counts_at_the_next_reservation(ledger: Ledger) -> None:
    one, two = await hold(ledger, window(amount=4)), await hold(ledger, window(amount=5))
    await ledger.settle(one, {"calls": 7})
    assert await used(ledger) == (5, 5, 2)
    await ledger.release(two)
    with pytest.raises(CapReached, match=r"3 of 10 .* \(7 used\)"):
        await hold(ledger, window(amount=4))
    await hold(ledger, window(amount=3))
    assert await used(ledger) == (5, 3, 2)


async def test_a_cap_that_was_lowered_below_what_is_used_lets_nothing_more_through(ledger: Ledger) -> None:
    name = await hold(ledger, window(amount=8))
    with pytest.raises(CapReached, match="0 of 5"):
        await hold(ledger, window(cap=5))
    await ledger.settle(name)
    assert await used(ledger) == (8, 0, 0)
    await hold(ledger, window(cap=9))  # and raised again


async def test_the_largest_amounts_overflow_nothing(ledger: Ledger) -> None:
    name = await hold(ledger, window(cap=MOST, amount=MOST))
    with pytest.raises(CapReached):
        await hold(ledger, window(cap=MOST, amount=MOST))
    await ledger.settle(name, {"calls": MOST})
    with pytest.raises(CapReached):
        await hold(ledger, window(cap=MOST, amount=MOST))
    assert await used(ledger) == (MOST, 0, 0)


@pytest.mark.parametrize("amount", [10**30, MOST, -5])
async def test_no_amount_that_was_used_makes_settling_fail(ledger: Ledger, amount: int) -> None:
    holds = [await hold(ledger, window()) for _ in range(10)]
    for name in holds:
        assert await ledger.settle(name, {"calls": amount})
    settled, reserved, overrun = await used(ledger)
    assert reserved == 0 and (settled, overrun) == ((10, 4 * MOST) if amount > 0 else (0, 0))


NO_AMOUNTS = ["-1", "null", "1.5", "NaN", "Infinity", "1e999", str(10**30), "true", '"x"', "[1]"]


@pytest.mark.parametrize("amount", NO_AMOUNTS)
async def test_what_is_no_amount_reserves_nothing_even_if_the_windows_were_made_by_hand(
    ledger: Ledger, amount: str
) -> None:
    """Python refuses these before (tests/unit/test_windows.py); the functions would take no such thing either."""
    text = window_arguments([window("a", amount=7), window("b")])
    assert text
    with pytest.raises(asyncpg.PostgresError):
        await run(ledger, "SELECT ledger_reserve('r/1', 'r', $1::jsonb, 60)", text.replace("7", amount))
    assert await run(ledger, "SELECT FROM windows") == await run(ledger, "SELECT FROM holds") == []


async def test_what_reserved_nothing_and_was_used_all_the_same_is_counted(ledger: Ledger) -> None:
    name = await hold(ledger, window(amount=0))
    await ledger.settle(name, {"calls": 6})
    assert await used(ledger) == (6, 0, 0)


async def test_the_same_window_twice_in_one_hold_is_refused(ledger: Ledger) -> None:
    with pytest.raises(asyncpg.CardinalityViolationError):
        await hold(ledger, window(amount=6), window(amount=6))
    assert await run(ledger, "SELECT FROM holds") == []


# ── recipients ──────────────────────────────────────────────────────────────────────────────────────────────────────


def letters(names: str, cap: int = 3) -> Window:
    return window(cap=cap, amount=len(names), unit="recipients", members=tuple(names))


async def test_a_recipient_counts_once_however_often_it_is_written_to(ledger: Ledger) -> None:
    for names in ("ab", "b", "ba", "bc"):
        await ledger.settle(await hold(ledger, letters(names)))
    assert await used(ledger) == (3, 0, 0)
    with pytest.raises(CapReached):
        await hold(ledger, letters("ad"))
    await hold(ledger, letters("abc"))


async def test_a_recipient_that_another_call_writes_to_stays_counted_when_the_first_call_did_nothing(
    ledger: Ledger,
) -> None:
    first, second = await hold(ledger, letters("ab")), await hold(ledger, letters("bc"))
    assert await used(ledger) == (0, 3, 0)
    await ledger.settle(first, {"*": 0, "calls": 1})
    assert await used(ledger) == (1, 1, 0)  # b is the second call's now, a is free
    await ledger.settle(second)
    assert await used(ledger) == (2, 0, 0)
    await hold(ledger, letters("bc"))
    await hold(ledger, letters("x"))
    with pytest.raises(CapReached):
        await hold(ledger, letters("a"))


async def test_recipients_that_were_released_are_counted_again_when_they_are_reserved_again(ledger: Ledger) -> None:
    name = await hold(ledger, letters("ab"))
    await ledger.release(name)
    assert await used(ledger) == (0, 0, 0)
    await hold(ledger, letters("ab"), name=name)
    assert await used(ledger) == (0, 2, 0)
    with pytest.raises(CapReached):
        await hold(ledger, letters("cd"))


async def test_new_recipients_at_once_are_counted_once_each(ledger: Ledger) -> None:
    await asyncio.gather(*(hold(ledger, letters("abc")) for _ in range(16)))
    assert await used(ledger) == (0, 3, 0)


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

MOMENTS = {
    "hour": ("2026-03-01T09:59:59.999+00", "2026-03-01T10:00:00+00"),
    "day": ("2026-02-28T23:59:59.999+00", "2026-03-01T00:00:00+00"),
    "month": ("2024-02-29T23:59:59.999+00", "2024-03-01T00:00:00+00"),
}


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("period", MOMENTS)
async def test_windows_roll_by_the_databases_clock_in_utc_wherever_it_stands(
    database_url: str, period: str, zone: str
) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"timezone": zone})
    last, first = (datetime.fromisoformat(moment).astimezone(UTC) for moment in MOMENTS[period])
    for number, moment in enumerate((last, first, first)):
        sql = "SELECT ledger_reserve($1, 'r', $2::jsonb, 60, $3)"
        await connection.execute(sql, f"r/{number}", window_arguments([window(period=period)]), moment)
    rows = await connection.fetch("SELECT starts_at, reserved FROM windows ORDER BY starts_at")
    assert [row["reserved"] for row in rows] == [1, 2] and rows[1]["starts_at"] == first
    await connection.close()


@pytest.mark.parametrize("period", ["run", "total"])
async def test_what_never_rolls_has_one_window(ledger: Ledger, period: str) -> None:
    for year in (1999, 2026):
        sql = "SELECT ledger_reserve($1, 'r', $2::jsonb, 60, $3)"
        moment = datetime(year, 1, 1, tzinfo=UTC)
        await run(ledger, sql, f"r/{year}", window_arguments([window(period=period)]), moment)
    assert await used(ledger) == (0, 2, 0)


# ── many at once ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_holds_of_the_same_windows_in_any_order_never_wait_in_a_circle(unchecked: Ledger) -> None:
    async def work(number: int) -> None:
        keys = [chr(97 + (number * 7 + step * (number % 5 + 1)) % 8) for step in range(6)]
        name = await hold(unchecked, *(window(key, cap=1_000) for key in dict.fromkeys(keys)))
        await (unchecked.settle(name) if number % 3 else unchecked.release(name))

    await asyncio.gather(*(work(number) for number in range(120)))
    assert await run(unchecked, "SELECT FROM windows WHERE reserved <> 0") == []


KEYS = "abc"
Step = tuple[str, int, tuple[str, ...], int]
STEPS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(("reserve", "reserve", "settle", "release")),
            st.integers(0, 7),
            st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True).map(tuple),
            st.integers(0, 9),
        ),
        min_size=1,
        max_size=6,
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=STEPS)
async def test_no_interleaving_of_reserving_settling_and_releasing_overspends(
    unchecked: Ledger, batches: list[list[Step]]
) -> None:
    """Batches of steps at once, on a ledger without its CHECK; what it says at the end is the sum of its holds."""
    example = f"e{next(_numbers)}"

    async def take(step: Step) -> None:
        what, number, keys, amount = step
        name = f"{example}/{number}"
        match what:
            case "reserve":
                windows = [window(f"{example}-{key}", cap=10, amount=amount) for key in keys]
                try:
                    await unchecked.reserve(name, example, windows, seconds=60)
                except CapReached:
                    return
            case "settle":
                await unchecked.settle(name, {"calls": amount})
            case "release":
                await unchecked.release(name)

    for batch in batches:
        await asyncio.gather(*map(take, batch))
    assert await run(unchecked, "SELECT * FROM cap_breaches") == []
    sums = """
        SELECT v.cap, v.settled, v.reserved, v.overrun,
               sum(CASE WHEN h.state = 'reserved' THEN x.reserved ELSE 0 END) AS held, sum(x.settled) AS spent
        FROM windows v LEFT JOIN holds h ON v.window_id = ANY (h.window_ids)
        LEFT JOIN LATERAL unnest(h.window_ids, h.reserved, h.settled) AS x (id, reserved, settled) ON x.id = v.window_id
        WHERE v.key LIKE $1 GROUP BY v.window_id"""
    for row in await run(unchecked, sums, f"{example}-%"):
        assert row["settled"] + row["reserved"] <= row["cap"]
        assert row["reserved"] == (row["held"] or 0) and row["settled"] + row["overrun"] == (row["spent"] or 0)


# ── the controls, broken on purpose ─────────────────────────────────────────────────────────────────────────────────


async def test_a_row_above_its_cap_is_refused_by_the_table(ledger: Ledger) -> None:
    await hold(ledger, window(amount=4))
    for change in ("settled = 7", "reserved = 11", "settled = -1", "reserved = -1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await run(ledger, f"UPDATE windows SET {change}")
    assert await used(ledger) == (0, 4, 0)


async def test_without_the_check_the_trigger_sees_a_row_above_its_cap_and_repairs_nothing(unchecked: Ledger) -> None:
    await hold(unchecked, window(amount=4))
    await run(unchecked, "UPDATE windows SET settled = 7")
    await run(unchecked, "UPDATE windows SET settled = 1")
    seen = await run(unchecked, "SELECT cap, settled, reserved FROM cap_breaches")
    assert [tuple(row) for row in seen] == [(10, 7, 4)] and await used(unchecked) == (1, 4, 0)


# ── what nobody settled ─────────────────────────────────────────────────────────────────────────────────────────────

EFFECT = """
INSERT INTO effects (run_id, call_id, tool, contract, effect, fence, state, digest, worker)
VALUES ('r', '1.0', 't', $1, 'write', 1, $2, '', '')"""
RUN = """
INSERT INTO runs (run_id, chain_id, agent, agent_version, tenant, goal_digest, mode, budget, policy_version)
SELECT 'r', 'r', 'a', version, 'acme', '', 'tiered', '{}', '' FROM agents"""


async def overdue(ledger: Ledger, *holds: str) -> None:
    """An open run whose holds nobody ended in time."""
    agent = "INSERT INTO agents (version, name, definition, tools, source) VALUES ('v', 'a', '{}', '[]', '.')"
    for sql in (agent, RUN):
        await run(ledger, sql)
    for name in holds:
        await hold(ledger, window(amount=4), name=name)
    await run(ledger, "UPDATE holds SET expires_at = now() - interval '1 second'")


@pytest.mark.parametrize(
    ("contract", "state", "hold_state", "left"),
    [
        ("idempotent", "settled", "settled", (4, 0, 0)),
        ("pure", "abandoned", "released", (0, 0, 0)),
        ("none", "refused", "released", (0, 0, 0)),
        ("irreversible", "unknown", "lost", (0, 4, 0)),
        ("idempotent", "claimed", "lost", (0, 4, 0)),
    ],
)
async def test_a_hold_that_expired_is_freed_only_if_nothing_can_have_happened(
    ledger: Ledger, contract: str, state: str, hold_state: str, left: tuple[int, int, int]
) -> None:
    await overdue(ledger, "r/1.0")
    await run(ledger, EFFECT, contract, state)
    assert await used(ledger) == (0, 4, 0)  # it expired, and counts
    assert await ledger.reconcile() == 1
    assert [row["state"] for row in await run(ledger, "SELECT state FROM holds")] == [hold_state]
    assert await used(ledger) == left
    assert await ledger.reconcile() == 0


async def test_a_hold_for_nothing_that_was_ever_claimed_is_freed(ledger: Ledger) -> None:
    await overdue(ledger, "r/1.0")
    await ledger.reconcile()
    assert await used(ledger) == (0, 0, 0)


async def test_a_lost_hold_that_is_explained_after_all_is_settled(ledger: Ledger) -> None:
    await overdue(ledger, "r/1.0")
    await run(ledger, EFFECT, "irreversible", "unknown")
    await ledger.reconcile()
    assert await ledger.settle("r/1.0", {"*": 0})
    assert await used(ledger) == (0, 0, 0)


async def test_an_answer_that_may_have_been_billed_keeps_its_ceiling(ledger: Ledger) -> None:
    await overdue(ledger, "r/step:1")
    await ledger.reconcile()
    assert await used(ledger) == (0, 4, 0)  # the run may still store it
    await run(ledger, "SELECT ledger_close('r', NULL)")
    assert await used(ledger) == (4, 0, 0)


async def test_an_answer_that_was_stored_costs_what_it_cost(ledger: Ledger) -> None:
    await overdue(ledger, "r/step:1")
    plan = "INSERT INTO steps VALUES ('r', 1, 1, '{\"tokens\": 3}', 'm', 'end_turn', '{}', 0)"
    await run(ledger, "UPDATE holds SET units = '{tokens}'")
    await run(ledger, plan)
    await ledger.reconcile()
    assert await used(ledger) == (3, 0, 0)


async def test_reservations_of_other_windows_are_told_apart(ledger: Ledger) -> None:
    same = window()
    others = [
        replace(same, tenant="b"),
        replace(same, scope="requester"),
        replace(same, unit="tokens"),
        replace(same, call_class="send"),
        replace(same, period="hour"),
    ]
    await hold(ledger, same, *others)
    assert len(await run(ledger, "SELECT FROM windows")) == 6
