"""The transcript of a run: append-only rows with gapless `seq` and an origin; long content is stored as a blob."""

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

INLINE_LIMIT = 4_096  # characters of JSON that a row holds; longer content is stored once, as a blob
CACHED_ROWS = 50_000  # rows that one worker caches for all runs; at 4 KB each that is at most 200 MB

Kind = Literal["goal", "message", "response", "result", "note"]
Origin = Literal["user", "trusted", "untrusted", "model"]

_BLOCKS: TypeAdapter[tuple[AnyBlock, ...]] = TypeAdapter(tuple[AnyBlock, ...])


class TranscriptGap(Permanent):
    """Rows of the transcript are missing; the run must not go on without them."""


@dataclass(frozen=True)
class Stored:
    """Content as columns: either inline JSON, or a blob's text and its digest."""

    content: str | None
    blob: bytes | None
    blob_text: str | None


def stored(blocks: tuple[AnyBlock, ...]) -> Stored:
    """The columns that store `blocks`."""
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
    suspect: str | None = None  # why the data may be wrong

    @cached_property
    def message(self) -> Message:
        """The row as a message for the model. Cached, because every step of the run needs it."""
        return Message(role="assistant" if self.kind == "response" else "user", blocks=self.blocks)


class Transcripts:
    """Reads transcripts. It caches rows, since these never change, and fetches only new ones."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: OrderedDict[str, list[Row]] = OrderedDict()
        self._cached_rows = 0
        self._early: dict[str, dict[int, Row]] = {}  # rows whose predecessors are not cached yet

    async def read(self, run_id: str, upto_seq: int) -> list[Row]:
        """The rows 0 to `upto_seq` - 1. Raises TranscriptGap if one is missing, StoreUnavailable."""
        cached = self._cache.pop(run_id, [])
        self._cached_rows -= len(cached)
        if len(cached) < upto_seq:
            cached = cached + await self._fetch(run_id, len(cached), upto_seq)
        rows = cached[:upto_seq]
        if [row.seq for row in rows[-64:]] != list(range(max(upto_seq - 64, 0), upto_seq)) or len(rows) != upto_seq:
            raise TranscriptGap(f"transcript of {run_id} has {len(rows)} of {upto_seq} rows")
        self._remember(run_id, cached)
        return rows

    def known(self, run_id: str) -> int:
        """The number of the run's rows, from the first one on, that are cached."""
        return len(self._cache.get(run_id, ()))

    def add(self, run_id: str, *rows: Row) -> None:
        """Cache rows that were written to the table. A row waits until its predecessors are cached."""
        cached = self._cache.get(run_id)
        if cached is None:
            if not rows or rows[0].seq:
                self._early.pop(run_id, None)
                return  # `read` will fetch all rows
            self._cache[run_id] = cached = []
        early = self._early.pop(run_id, {}) | {row.seq: row for row in rows}
        cached_before = len(cached)
        while (row := early.pop(len(cached), None)) is not None:
            cached.append(row)
        self._cached_rows += len(cached) - cached_before
        if early := {seq: row for seq, row in early.items() if seq > len(cached)}:
            self._early[run_id] = early
        self._evict()

    async def _fetch(self, run_id: str, from_seq: int, upto_seq: int) -> list[Row]:
        rows = await SQL["read_from"].rows(self._database, run_id=run_id, from_seq=from_seq, upto_seq=upto_seq)
        return [decode(row) for row in rows]

    def _remember(self, run_id: str, rows: list[Row]) -> None:
        self._cached_rows += len(rows) - len(self._cache.get(run_id, ()))  # concurrent reads of one run may overlap
        self._cache[run_id] = rows
        self._early.pop(run_id, None)
        self._evict()

    def _evict(self) -> None:
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
    """The row that `read` would return for these columns."""
    blocks = _BLOCKS.validate_json(written.content or written.blob_text or "")
    return Row(seq, kind, cast(Origin, origin), call_id, blocks, suspect)


def blocks_of(content: str) -> tuple[AnyBlock, ...]:
    """The blocks in the JSON content of a row."""
    return _BLOCKS.validate_json(content)


def decode(row: Any) -> Row:
    """The Row for a row of the query `read_from`."""
    return Row(
        row["seq"], row["kind"], row["origin"], row["call_id"], _BLOCKS.validate_json(row["content"]), row["suspect"]
    )
