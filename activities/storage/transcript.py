"""The transcript: append-only rows, dense in `seq`, each with the origin of its content. Long content is a blob."""

import json
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

from pydantic import TypeAdapter

from activities.errors import Permanent
from activities.model.provider import AnyBlock, Message
from activities.storage.canonical import text_digest
from activities.storage.database import Database
from activities.storage.queries import Queries

SQL = Queries(__file__, "transcript.sql")

INLINE_LIMIT = 4_096  # bytes of JSON kept in the row; longer content is stored once, by its digest
CACHED_ROWS = 50_000  # rows of all runs that one worker remembers; at 4 KB each this is 200 MB at the very most

Kind = Literal["goal", "message", "response", "result", "note"]
Origin = Literal["user", "trusted", "untrusted", "model"]

_BLOCKS: TypeAdapter[tuple[AnyBlock, ...]] = TypeAdapter(tuple[AnyBlock, ...])


class TranscriptGap(Permanent):
    """Rows of the transcript are missing; the run must not go on from half a memory."""


@dataclass(frozen=True)
class Stored:
    """Content as the columns take it: inline JSON, or a blob and its digest."""

    content: str | None
    blob: bytes | None
    blob_text: str | None


def stored(blocks: tuple[AnyBlock, ...]) -> Stored:
    """`blocks` as columns."""
    text = json.dumps(_BLOCKS.dump_python(blocks, mode="json"), separators=(",", ":"))
    if len(text) <= INLINE_LIMIT:
        return Stored(text, None, None)
    return Stored(None, text_digest(text), text)


@dataclass(frozen=True)
class Row:
    """One row of the transcript."""

    seq: int
    kind: Kind
    origin: Origin
    call_id: str | None
    blocks: tuple[AnyBlock, ...]
    suspect: str | None = None  # why the data may be wrong, if a check of its tool failed

    @cached_property
    def message(self) -> Message:
        """The row as a turn of the conversation: asked for at every step of the run, so made once."""
        return Message(role="assistant" if self.kind == "response" else "user", blocks=self.blocks)


class Transcripts:
    """Reads transcripts. Rows never change: what was read or written here is remembered, only new rows are fetched."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: OrderedDict[str, list[Row]] = OrderedDict()
        self._cached_rows = 0
        self._early: dict[str, dict[int, Row]] = {}  # rows of results that came before those of calls before them

    async def read(self, run_id: str, upto_seq: int) -> list[Row]:
        """Rows 0 to `upto_seq` - 1. Raises TranscriptGap if one is missing, StoreUnavailable."""
        known = self._cache.pop(run_id, [])
        self._cached_rows -= len(known)
        if len(known) < upto_seq:
            known = known + await self._fetch(run_id, len(known), upto_seq)
        rows = known[:upto_seq]
        if [row.seq for row in rows[-64:]] != list(range(max(upto_seq - 64, 0), upto_seq)) or len(rows) != upto_seq:
            raise TranscriptGap(f"transcript of {run_id} has {len(rows)} of {upto_seq} rows")
        self._remember(run_id, known)
        return rows

    def known(self, run_id: str) -> int:
        """How many rows of it, from the first one on, need not be fetched."""
        return len(self._cache.get(run_id, ()))

    def add(self, run_id: str, *rows: Row) -> None:
        """Remember rows that are in the table, as they are there. A row whose predecessors are not known yet waits."""
        known = self._cache.get(run_id)
        if known is None:
            if not rows or rows[0].seq:
                self._early.pop(run_id, None)
                return  # whoever reads it fetches them all
            self._cache[run_id] = known = []
        early = self._early.pop(run_id, {}) | {row.seq: row for row in rows}
        before = len(known)
        while (row := early.pop(len(known), None)) is not None:
            known.append(row)
        self._cached_rows += len(known) - before
        if early := {seq: row for seq, row in early.items() if seq > len(known)}:
            self._early[run_id] = early
        self._let_go()

    async def _fetch(self, run_id: str, from_seq: int, upto_seq: int) -> list[Row]:
        rows = await SQL["read_from"].rows(self._database, run_id=run_id, from_seq=from_seq, upto_seq=upto_seq)
        return [decode(row) for row in rows]

    def _remember(self, run_id: str, rows: list[Row]) -> None:
        self._cached_rows += len(rows) - len(self._cache.get(run_id, ()))  # two reads of one run may overlap
        self._cache[run_id] = rows
        self._early.pop(run_id, None)
        self._let_go()

    def _let_go(self) -> None:
        while self._cached_rows > CACHED_ROWS and len(self._cache) > 1:
            run_id, dropped = self._cache.popitem(last=False)
            self._cached_rows -= len(dropped)
            self._early.pop(run_id, None)


def row_of(
    seq: int,
    kind: Kind,
    origin: str,
    written: Stored,
    call_id: str | None = None,
    suspect: str | None = None,
) -> Row:
    """The row that these columns have made, as a reader of the table finds it."""
    blocks = _BLOCKS.validate_json(written.content or written.blob_text or "")
    return Row(seq, kind, cast(Origin, origin), call_id, blocks, suspect)


def blocks_of(content: str) -> tuple[AnyBlock, ...]:
    """The blocks of a row, from its JSON."""
    return _BLOCKS.validate_json(content)


def decode(row: Any) -> Row:
    """A transcript row from its columns."""
    return Row(
        row["seq"], row["kind"], row["origin"], row["call_id"], _BLOCKS.validate_json(row["content"]), row["suspect"]
    )
