"""With ten thousand runs parked, what runs on a timer and what people list touches a few rows, by index."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from activities import approvals
from activities.drills import AGENT as DRILL
from activities.ledger.ledger import SQL as LEDGER
from activities.runs.reaper import SQL as RUNS
from activities.storage.database import Database
from activities.storage.queries import Queries, Query
from workers.cli.database_session import SQL as CLI

APPROVALS = Queries(approvals.__file__, "approvals.sql")
PARKED = 10_000
PAGE = 50
BIG = ("runs", "approvals", "holds")
FILL = """
INSERT INTO agents (version, name, definition, tools, source) VALUES ('v', 'a', '{}', '[]', '.');
INSERT INTO runs (run_id, chain_id, agent, agent_version, tenant, goal_digest, mode, budget, policy_version, opened_at)
SELECT 'agent/a/' || lpad(n::text, 5, '0'), 'c', 'a', 'v', 'acme', '\\x00', 'tiered', '{}', 'p',
       now() - make_interval(secs => n / 4)
FROM generate_series(1, 10000) n;
INSERT INTO approvals (approval_id, run_id, call_id, about, tool, tier, arguments, digest, rule, reason, needed,
                       requested_at)
SELECT 'ap-' || lpad(n::text, 5, '0'), 'agent/a/' || lpad(n::text, 5, '0'), '1.0', 'call', 'send', 'T3', '{}', 'd',
       'tier.T3', 'r', 1, now() - make_interval(secs => n / 4)
FROM generate_series(1, 10000) n;
INSERT INTO holds (hold_id, run_id, window_ids, units, reserved, settled, expires_at)
SELECT 'agent/a/' || lpad(n::text, 5, '0') || '/slot', 'agent/a/' || lpad(n::text, 5, '0'), '{}', '{}', '{}', '{}',
       now() + interval '10 years'
FROM generate_series(1, 10000) n;
ANALYZE;
"""

LIST = {"agent": None, "open_only": True, "drills": False, "drill": DRILL, "most": PAGE}
QUERIES: dict[str, tuple[Query, dict[str, Any]]] = {
    "the reaper's rotation": (RUNS["to_check"], {"most": PAGE, "engine": "a/b"}),
    "the reaper's last pass": (RUNS["last_pass"], {"engine": "a/b"}),
    "the reaper's suspects": (RUNS["still_open"], {"run_ids": ["agent/a/00001", "agent/a/00002"], "engine": "a/b"}),
    "holds to look after": (LEDGER["overdue"], {"after": ""}),
    "ls, first page": (CLI["runs"], {**LIST, "after": None}),
    "ls, a later page": (CLI["runs"], {**LIST, "after": "agent/a/05000"}),
    "approvals, first page": (APPROVALS["open"], {"most": PAGE, "after": None}),
    "approvals, a later page": (APPROVALS["open"], {"most": PAGE, "after": "ap-05000"}),
}


@pytest_asyncio.fixture
async def parked(database_url: str) -> AsyncIterator[Database]:
    """Ten thousand open runs, each with an open approval and a slot."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(FILL)
    await connection.close()
    database = Database(database_url)
    yield database
    await database.close()


async def plan_of(database: Database, query: Query, given: dict[str, Any]) -> Any:
    """What Postgres did, as EXPLAIN says it; the statement is undone."""
    arguments = [given[name] for name in query.parameters]
    pool = await database.pool()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            found = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.sql}", *arguments)
        finally:
            await transaction.rollback()
    return json.loads(found)[0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_touches_a_page_and_not_every_parked_run(parked: Database, name: str) -> None:
    for node in nodes(await plan_of(parked, *QUERIES[name])):
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        shown = json.dumps({key: value for key, value in node.items() if key != "Plans"})
        assert read <= 4 * PAGE, shown
        assert node["Node Type"] != "Seq Scan" or node["Relation Name"] not in BIG, shown


async def test_pages_show_every_run_once_though_runs_are_added_meanwhile(parked: Database) -> None:
    seen: list[str] = []
    after = None
    while rows := await CLI["runs"].rows(parked, **{**LIST, "most": 1_000, "after": after}):
        seen += [row["run_id"] for row in rows]
        after = seen[-1]
        await (await parked.pool()).execute(
            "INSERT INTO runs (run_id, chain_id, agent, agent_version, tenant, goal_digest, mode, budget, "
            "policy_version) VALUES ($1, 'c', 'a', 'v', 'acme', '\\x00', 'tiered', '{}', 'p')",
            f"agent/a/new-{len(seen)}",
        )
    assert len(seen) == len(set(seen)) == PARKED


async def test_pages_show_every_question_once(parked: Database) -> None:
    seen: list[str] = []
    after = None
    while rows := await APPROVALS["open"].rows(parked, most=1_000, after=after):
        seen += [row["approval_id"] for row in rows]
        after = seen[-1]
    assert len(seen) == len(set(seen)) == PARKED


async def test_a_rotation_of_the_reaper_looks_at_every_open_run_once(parked: Database) -> None:
    seen: list[str] = []
    for _ in range(5):
        seen += [row["run_id"] for row in await RUNS["to_check"].rows(parked, most=2_000, engine="")]
    assert len(seen) == len(set(seen)) == PARKED
