"""The transcript: append-only, dense, read once; and what is missing is noticed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from activities.model.provider import Text, ToolCall, ToolResult
from activities.storage import transcript
from activities.storage.database import Database
from activities.storage.transcript import INLINE_LIMIT, SQL, TranscriptGap, Transcripts, row_of, stored


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database."""
    database = Database(database_url)
    yield database
    await database.close()


async def write(database: Database, run_id: str, *seqs: int, text: str = "text") -> None:
    """Rows with these seqs."""
    for seq in seqs:
        columns = vars(stored((Text(text=f"{text} {seq}"),)))
        await SQL["append"].row(database, run_id=run_id, seq=seq, kind="message", origin="user", **columns)


async def execute(database: Database, sql: str, *arguments: Any) -> None:
    """Any statement."""
    await (await database.pool()).execute(sql, *arguments)


class Counting(Transcripts):
    """Counts the rows that it fetches."""

    fetched = 0

    async def _fetch(self, run_id: str, from_seq: int, upto_seq: int) -> list[transcript.Row]:
        rows = await super()._fetch(run_id, from_seq, upto_seq)
        self.fetched += len(rows)
        return rows


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE transcript SET origin = 'trusted'",
        "UPDATE transcript SET content = '[]' WHERE seq = 1",
        "DELETE FROM transcript",
        "DELETE FROM transcript WHERE run_id = 'r' AND seq = 1",
        "INSERT INTO transcript (run_id, seq, kind, origin, content) VALUES ('r', 1, 'note', 'user', '[]')"
        " ON CONFLICT (run_id, seq) DO UPDATE SET content = excluded.content",
    ],
)
async def test_what_was_written_is_never_changed(database: Database, sql: str) -> None:
    await write(database, "r", 0, 1)
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await execute(database, sql)
    assert [row.blocks for row in await Transcripts(database).read("r", 2)] == [
        (Text(text="text 0"),),
        (Text(text="text 1"),),
    ]


@pytest.mark.parametrize("table", ["events", "decisions"])
async def test_the_trace_log_and_the_decisions_are_append_only_too(database: Database, table: str) -> None:
    triggers = await (await database.pool()).fetch(
        "SELECT tgtype FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgenabled = 'O'", table
    )
    row, before, delete, update = 1, 2, 8, 16
    assert any(t["tgtype"] & (row | before | delete | update) == row | before | delete | update for t in triggers)


async def test_a_call_has_one_result(database: Database) -> None:
    insert = (
        "INSERT INTO transcript (run_id, seq, kind, origin, call_id, content)"
        " VALUES ('r', $1, 'result', 'user', $2, '[]')"
    )
    await execute(database, insert, 0, "1.0")
    await execute(database, insert, 1, "1.1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await execute(database, insert, 2, "1.0")


async def test_a_repeated_append_changes_nothing(database: Database) -> None:
    await write(database, "r", 0)
    await write(database, "r", 0, text="another")
    assert (await Transcripts(database).read("r", 1))[0].blocks == (Text(text="text 0"),)


async def test_every_kind_of_block_comes_back_inline_and_as_a_blob(database: Database) -> None:
    blocks = (
        Text(text="é\u2028😀"),
        ToolCall(call_id="1.0", name="look", input={"a": [1, None]}),
        ToolResult(call_id="1.0", text="x" * INLINE_LIMIT, is_error=True),
    )
    for seq, part in enumerate((blocks[:2], blocks)):
        assert (stored(part).blob is None) is (seq == 0)
        await SQL["append"].row(database, run_id="r", seq=seq, kind="note", origin="trusted", **vars(stored(part)))
    rows = await Transcripts(database).read("r", 2)
    assert [row.blocks for row in rows] == [blocks[:2], blocks]


async def test_equal_long_content_is_stored_once(database: Database) -> None:
    columns = vars(stored((Text(text="x" * INLINE_LIMIT),)))
    for seq in range(3):
        await SQL["append"].row(database, run_id="r", seq=seq, kind="note", origin="user", **columns)
    assert await (await database.pool()).fetchval("SELECT count(*) FROM blobs") == 1


@pytest.mark.parametrize("missing", [0, 3, 9])
async def test_a_row_that_is_missing_stops_the_run(database: Database, missing: int) -> None:
    await write(database, "r", *(seq for seq in range(10) if seq != missing))
    with pytest.raises(TranscriptGap, match="9 of 10 rows"):
        await Transcripts(database).read("r", 10)


async def test_a_row_missing_long_ago_is_noticed_too(database: Database) -> None:
    rows = [(seq, json.dumps([{"type": "text", "text": str(seq)}])) for seq in range(200) if seq != 5]
    pool = await database.pool()
    await pool.executemany(
        "INSERT INTO transcript (run_id, seq, kind, origin, content) VALUES ('r', $1, 'note', 'user', $2)", rows
    )
    reader = Transcripts(database)
    with pytest.raises(TranscriptGap):
        await reader.read("r", 200)
    with pytest.raises(TranscriptGap):
        await reader.read("r", 200)
    assert len(await reader.read("r", 5)) == 5


async def test_rows_are_fetched_once_and_only_those_that_are_new(database: Database) -> None:
    await write(database, "r", 0, 1, 2)
    reader = Counting(database)
    assert [row.seq for row in await reader.read("r", 2)] == [0, 1]
    assert [row.seq for row in await reader.read("r", 3)] == [0, 1, 2]
    assert [row.seq for row in await reader.read("r", 1)] == [0]
    assert [row.seq for row in await reader.read("r", 3)] == [0, 1, 2]
    assert reader.fetched == 3


async def test_a_gap_that_is_filled_later_is_read_anew(database: Database) -> None:
    await write(database, "r", 0, 2)
    reader = Transcripts(database)
    with pytest.raises(TranscriptGap):
        await reader.read("r", 3)
    await write(database, "r", 1)
    assert [row.seq for row in await reader.read("r", 3)] == [0, 1, 2]


async def test_runs_do_not_mix(database: Database) -> None:
    await write(database, "a", 0, text="a")
    await write(database, "b", 0, text="b")
    reader = Transcripts(database)
    assert (await reader.read("a", 1))[0].blocks == (Text(text="a 0"),)
    assert (await reader.read("b", 1))[0].blocks == (Text(text="b 0"),)


async def test_the_cache_is_bounded_and_forgets_the_run_that_was_read_longest_ago(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "CACHED_ROWS", 5)
    reader = Counting(database)
    for run_id in ("a", "b", "c"):
        await write(database, run_id, 0, 1)
        await reader.read(run_id, 2)
    await reader.read("c", 2)
    await reader.read("b", 2)
    assert reader.fetched == 6
    await reader.read("a", 2)
    assert reader.fetched == 8


async def test_reads_of_one_run_at_once_are_counted_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await write(database, "r", 0, 1)
    reader = Transcripts(database)
    first = await reader._fetch("r", 0, 2)
    for _ in range(3):  # as when several reads miss the cache before the first has filled it
        reader._remember("r", first)
    assert reader._cached_rows == 2


def at(seq: int) -> transcript.Row:
    """A row as whoever wrote it knows it."""
    return row_of(seq, "message", "user", stored((Text(text=f"text {seq}"),)))


async def test_what_was_written_here_is_not_fetched_and_is_what_would_have_been(database: Database) -> None:
    await write(database, "r", 0, 1, 2, 3)
    reader = Counting(database)
    await reader.read("r", 1)
    reader.add("r", at(3))  # as results of calls side by side come
    assert reader.known("r") == 1
    reader.add("r", at(1))
    reader.add("r", at(2))
    assert reader.known("r") == 4
    assert await reader.read("r", 4) == await Transcripts(database).read("r", 4)
    assert reader.fetched == 1


async def test_a_row_that_somebody_else_wrote_in_between_is_fetched(database: Database) -> None:
    await write(database, "r", 0, 1, 2)
    reader = Counting(database)
    await reader.read("r", 1)
    reader.add("r", at(2))
    assert [row.seq for row in await reader.read("r", 3)] == [0, 1, 2]
    assert reader.fetched == 3
    assert reader._early == {}


async def test_rows_of_a_run_of_which_nothing_is_known_are_left_to_who_reads_it(database: Database) -> None:
    reader = Counting(database)
    reader.add("r", at(2))
    assert (reader.known("r"), reader._early, reader._cached_rows) == (0, {}, 0)


async def test_a_database_can_be_opened_again_after_it_was_closed(database: Database) -> None:
    await write(database, "r", 0)
    await database.close()
    assert len(await Transcripts(database).read("r", 1)) == 1
