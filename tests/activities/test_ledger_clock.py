"""Windows roll by one clock, that of the database: a worker's own says nothing, and Postgres's may be an hour off."""

import ast
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from activities.ledger.ledger import Ledger
from tests.activities.spending import Crowd, assert_held, kinds
from tests.harness.stanchion import Stanchion

ROOT = Path(__file__).parents[2]
Systems = Callable[..., Stanchion]

# Before pg_catalog in the search path, so that every now() in statements and functions is this one.
OTHER_CLOCK = """
CREATE SCHEMA other;
CREATE TABLE other.clock (half_past interval NOT NULL, off interval NOT NULL); -- so that no real hour ends meanwhile
INSERT INTO other.clock SELECT date_trunc('hour', now()) + '30 minutes' - now(), '0';
CREATE FUNCTION other.now() RETURNS timestamptz LANGUAGE sql STABLE
AS 'SELECT pg_catalog.now() + half_past + off FROM other.clock'
"""


@pytest_asyncio.fixture
async def moved(database_url: str) -> Callable[[timedelta], Any]:
    """Moves Postgres's clock by so much, from what is right."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(OTHER_CLOCK)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET search_path = other, public, pg_catalog')
    await connection.close()

    async def move(by: timedelta) -> None:
        again = await asyncpg.connect(database_url)
        await again.execute("UPDATE other.clock SET off = $1", by)
        await again.close()

    return move


async def planned(system: Stanchion, count: int) -> Crowd:
    """Calls of one run, by an agent that may make one an hour."""
    crowd = Crowd([system])
    caps = [{"unit": "calls", "per": "hour", "most": 1}]
    run_id = await crowd.open(await system.publish([], "note", "take_back", caps=caps))
    await crowd.plan(run_id, "note", [{"text": f"{n}"} for n in range(count)])
    return crowd


async def answer(crowd: Crowd, number: int) -> str:
    """What the gateway says to one of them."""
    return next(iter(kinds([await crowd.first.parts.gateway.call(crowd.requests[number])])))


@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
async def test_a_postgres_whose_clock_is_an_hour_off_counts_in_that_hour_and_in_no_other(
    moved: Callable[[timedelta], Any], systems: Systems, off: timedelta
) -> None:
    system = systems()
    crowd = await planned(system, 5)
    assert [await answer(crowd, 0), await answer(crowd, 1)] == ["observed", "budget.calls.agent.hour"]
    await moved(off)
    assert [await answer(crowd, 2), await answer(crowd, 3)] == ["observed", "budget.calls.agent.hour"]
    await moved(timedelta())  # put right: what was used in this hour is known still
    assert await answer(crowd, 4) == "budget.calls.agent.hour"
    rows = await system.rows("SELECT settled, reserved FROM windows WHERE period = 'hour'")
    assert [tuple(row) for row in rows] == [(1, 0), (1, 0)]
    await assert_held(system)


async def test_a_call_that_is_claimed_in_one_hour_and_done_in_the_next_counts_in_its_own(
    moved: Callable[[timedelta], Any], systems: Systems
) -> None:
    async def clock_strikes(where: str) -> None:
        if where == "after-effect":
            await moved(timedelta(hours=1))

    system = systems(checkpoint=clock_strikes)
    crowd = await planned(system, 2)
    before = await system.value("SELECT date_trunc('hour', now())")
    assert await answer(crowd, 0) == "observed"
    rows = await system.rows("SELECT starts_at, settled, reserved FROM windows WHERE period = 'hour'")
    assert [tuple(row) for row in rows] == [(before, 1, 0)]
    assert await answer(crowd, 1) == "observed"  # the next hour is untouched
    await assert_held(system)


async def test_a_clock_that_jumps_ahead_frees_nothing_that_is_under_way(
    moved: Callable[[timedelta], Any], systems: Systems
) -> None:
    async def overdue_at_once(where: str) -> None:
        if where == "after-claim":
            await moved(timedelta(hours=1))
            assert await Ledger(system.parts.database).reconcile() >= 1
            held = await system.rows("SELECT state FROM holds WHERE hold_id LIKE '%/1.1'")
            assert [row["state"] for row in held] == ["lost"]
            await moved(timedelta())
            counted = await system.rows("SELECT reserved FROM windows WHERE period = 'hour'")
            assert [row["reserved"] for row in counted] == [1]

    system = systems(checkpoint=overdue_at_once)
    crowd = await planned(system, 1)
    assert await answer(crowd, 0) == "observed"
    assert await system.value("SELECT state FROM holds WHERE hold_id LIKE '%/1.1'") == "settled"


@pytest.mark.parametrize(
    "file",
    [
        *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "activities/ledger").glob("*.py"))),
        *(
            f"activities/{name}"
            for name in ("gateway/evaluation/budget_windows.py", "model/reservations.py", "runs/open_run_windows.py")
        ),
    ],
)
def test_no_worker_asks_its_own_clock_when_it_counts(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"time", "datetime", "calendar", "zoneinfo"}


# ── months and days are UTC's: daylight saving moves none of their borders ──────────────────────────────────────────

SUMMER = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before Berlin's clocks go forward
WINTER = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # and back


@pytest.mark.parametrize("moment", [SUMMER, WINTER], ids=["forward", "back"])
@pytest.mark.parametrize(("period", "expected"), [("day", 24), ("hour", 1)])
async def test_a_day_has_24_hours_also_where_daylight_saving_begins_or_ends(
    database_url: str, moment: datetime, period: str, expected: int
) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "Europe/Berlin"})
    sql = "SELECT ledger_start($1, $2::timestamptz + $3 * interval '1 hour')"
    starts = [await connection.fetchval(sql, period, moment, float(hour)) for hour in range(48)]
    await connection.close()
    assert [starts.count(start) for start in dict.fromkeys(starts)] == [expected] * (48 // expected)
