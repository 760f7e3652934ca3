"""`ls` and `approvals` with 10,000 open rows: pages, what a page costs, and what the commands import to answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from activities.drills import AGENT as DRILL
from activities.storage.queries import Query
from tests.harness.door import Door
from tests.harness.typed import Left, Terminal
from workers.cli.approvals.open_approvals import SQL as APPROVALS
from workers.cli.database_session import SQL as RUNS

OPEN = 10_000
MOST = 1_000  # rows of the biggest page
# Ten share each moment, as they do when a batch is started: the moment alone is no cursor.
FILL = """
INSERT INTO runs (run_id, chain_id, agent, agent_version, tenant, goal_digest, mode, budget, policy_version, opened_at)
SELECT 'agent/many/' || lpad(n::text, 5, '0'), '', r.agent, r.agent_version, r.tenant, r.goal_digest, r.mode, r.budget,
       r.policy_version, r.opened_at - make_interval(secs => (n / 10) + 1)
FROM runs r, generate_series(1, $2::int) n WHERE r.run_id = $1"""
ASK = """
INSERT INTO approvals (approval_id, run_id, call_id, about, tool, arguments, digest, rule, reason, requested_at)
SELECT 'ap-' || right(r.run_id, 5), r.run_id, '1.0', 'call', 'send', '{}', '', '', '', r.opened_at
FROM runs r WHERE r.run_id LIKE 'agent/many/%'"""


@pytest.fixture
async def typed(door: Door, database_url: str, tmp_path: Path) -> Terminal:
    """A terminal on a database with 10,000 open runs that wait for a person each; Temporal is nowhere."""
    first = await door.open(await door.publish("send"))
    pool = await door.parts.database.pool()
    await pool.execute(FILL, first, OPEN)
    await pool.execute(ASK)
    await pool.execute("ANALYZE")
    return Terminal(tmp_path, {"DATABASE_URL": database_url})


async def more(door: Door, name: str) -> None:
    """One more run that waits, later than all others."""
    pool = await door.parts.database.pool()
    columns = "chain_id, agent, agent_version, tenant, goal_digest, mode, budget, policy_version"
    await pool.execute(f"INSERT INTO runs (run_id, {columns}) SELECT 'agent/late/{name}', {columns} FROM runs LIMIT 1")
    await pool.execute(
        "INSERT INTO approvals (approval_id, run_id, call_id, about, tool, arguments, digest, rule, reason)"
        f" VALUES ('ap-late-{name}', 'agent/late/{name}', '1.0', 'call', 'send', '{{}}', '', '', '')"
    )


@pytest.mark.parametrize(("command", "key"), [("ls", "run_id"), ("approvals", "approval_id")])
async def test_every_open_row_is_on_one_page_while_others_are_added(
    door: Door, typed: Terminal, command: str, key: str
) -> None:
    seen: list[str] = []
    after: tuple[str, ...] = ()
    pages = 0
    while page := (await typed(command, "--limit", str(MOST), *after, "--json")).data:
        seen += [row[key] for row in page]
        after = ("--after", page[-1][key])
        pages += 1
        if pages == 3:
            await more(door, "now")
    kept = [name for name in seen if "many" in name or name[3:].isdecimal()]
    assert len(seen) == len(set(seen))
    assert len(kept) == OPEN
    assert any("late" in name for name in seen) == (command == "approvals")  # the latest come first in `ls`


async def test_a_page_says_how_many_come_after_it_and_how_they_are_shown(typed: Terminal) -> None:
    listed = await typed("approvals", "--json")
    assert len(listed.data) == 50
    assert listed.err.strip() == f"… and 9,950 more: --after {listed.data[-1]['approval_id']}"
    last = await typed("approvals", "--after", "ap-00001", "--limit", "9", "--json")
    assert "more" not in last.err  # eight of the same moment, no page after them
    runs = await typed("ls", "--open", "--limit", "1", "--json")
    assert runs.err.strip() == f"… and 10,000 more: --after {runs.data[0]['run_id']}"
    assert (await typed("approvals", "--after", "ap-none")).code == 2
    assert (await typed("ls", "--after", "none")).code == 2


async def plan(door: Door, query: Query, **given: Any) -> list[dict[str, Any]]:
    """The nodes of the plan of a query as it was carried out."""
    pool = await door.parts.database.pool()
    arguments = [given[name] for name in query.parameters]
    found = json.loads(await pool.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.sql}", *arguments))

    def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
        return [node, *(below for child in node.get("Plans", ()) for below in nodes(child))]

    return nodes(found[0]["Plan"])


@pytest.mark.parametrize("after", [None, "05000"])
async def test_a_page_reads_a_page_whatever_the_number_of_open_rows(
    door: Door, typed: Terminal, after: str | None
) -> None:
    which = {"agent": None, "open_only": False, "drills": False, "drill": DRILL, "most": 50}
    ls = await plan(door, RUNS["runs"], **which, after=after and f"agent/many/{after}")
    approvals = await plan(door, APPROVALS["open"], most=50, after=after and f"ap-{after}")
    for nodes, table, index in ((ls, "runs", "runs_latest"), (approvals, "approvals", "approvals_open")):
        scans = [node for node in nodes if node.get("Relation Name") == table and node.get("Alias") in ("r", "a")]
        assert index in [node.get("Index Name") for node in nodes]
        for node in scans:
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            assert read <= 100, node  # a page, and those of the moment at which it begins and ends
    for node in (*ls, *approvals):
        assert node["Actual Rows"] <= 100


READS = (
    ("ls",), ("approvals",), ("show", "agent/many/00001"), ("logs", "agent/many/00001"), ("cost",), ("approvers",),
    ("agents", "ls"), ("agents", "show", "worker"), ("policy", "show"), ("policy", "ls"), ("principals", "list"),
    ("keys", "list"), ("halts",), ("caps", "ls"), ("db", "status"),
)  # fmt: skip


async def test_reading_commands_answer_without_temporal_and_never_import_it(door: Door, typed: Terminal) -> None:
    pool = await door.parts.database.pool()
    await pool.execute(
        "UPDATE runs SET status = 'completed', closed_at = now(), outcome = $1 WHERE run_id = 'agent/many/00001'",
        '{"status": "completed", "reason": "done", "answer": ""}',
    )
    agent = await pool.fetchval("SELECT name FROM agent_heads LIMIT 1")
    for words in READS:
        left: Left = await typed(*(agent if word == "worker" else word for word in words), PYTHONPROFILEIMPORTTIME="1")
        assert left.code == 0, (words, left.err[-2_000:])
        imported = {
            line.rpartition("|")[2].strip() for line in left.err.splitlines() if line.startswith("import time:")
        }
        assert "asyncpg" in imported
        assert not imported & {"temporalio", "anthropic", "opentelemetry", "aiohttp"}, words
