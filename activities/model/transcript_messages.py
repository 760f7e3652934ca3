"""Writes people's messages and notes into a run's transcript: as `user` if the sender is proved, else untrusted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from activities.approvals.authority import Authority, Identified
from activities.identity.statements import message_statement
from activities.model.provider import Text
from activities.storage.canonical import canonical_json, clean_text
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.transcript import SQL as TRANSCRIPT
from activities.storage.transcript import Kind, Origin, Stored, Transcripts, row_of, stored
from workflows.contracts.messages import MessageReceived
from workflows.contracts.model import PlanRequest

SQL = Queries(__file__, "model.sql")


@dataclass(frozen=True)
class WrittenMessages:
    """What an attempt at the same step, which came to nothing, has put into the transcript already."""

    messages: int = 0
    notes: frozenset[str] = frozenset()  # their content
    rows: int = 0

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "WrittenMessages":
        """From those rows, as columns."""
        found = list(rows)
        notes = [row["content"] for row in found if row["kind"] == "note"]
        return cls(sum(row["kind"] == "message" for row in found), frozenset(notes), len(found))


@dataclass(frozen=True)
class TranscriptMessages:
    """Messages and endorsed values in Postgres."""

    database: Database
    authority: Authority
    transcripts: Transcripts

    async def write(self, request: PlanRequest, tenant: str, written: WrittenMessages) -> int:
        """Put what people said, then what the run itself has to say, into the transcript; returns the seq after it.

        Safe to repeat, also when more was said since the attempt before: rows that are there stay, and count.
        A note of the run is evidence for nothing: no value is traced to it.
        """
        seq = request.next_seq + written.rows
        for message in request.messages[written.messages :]:
            await self._write(request.run_id, tenant, seq, message)
            seq += 1
        for note in request.notes:
            content = stored((Text(text=clean_text(note)),))
            if (content.content or content.blob_text) in written.notes:
                continue
            await self._append(request.run_id, seq, "note", "trusted", content)
            seq += 1
        return seq

    async def _write(self, run_id: str, tenant: str, seq: int, message: MessageReceived) -> None:
        statement = message_statement(run_id, message)
        who = await self.authority.identify(
            tenant=tenant,
            by=message.by,
            key=message.key,
            signature=message.signature,
            statement=statement,
            at=message.at,
        )
        known = isinstance(who, Identified)
        if isinstance(who, Identified) and message.endorses:
            await SQL["endorse"].rows(
                self.database,
                run_id=run_id,
                value=clean_text(message.endorses),
                by=who.name or "someone",
                proof=who.proof,
                key=message.key,
                signature=message.signature,
                statement=canonical_json(statement) if who.proof == "signature" else None,
            )
        content = stored((Text(text=_text_of(message, known)),))
        await self._append(run_id, seq, "message", "user" if known else "untrusted", content)

    async def _append(self, run_id: str, seq: int, kind: Kind, origin: Origin, content: Stored) -> None:
        row = await TRANSCRIPT["append"].row(
            self.database, run_id=run_id, seq=seq, kind=kind, origin=origin, **vars(content)
        )
        if row is not None:  # else another attempt was first, and what it wrote has to be read
            self.transcripts.add(run_id, row_of(seq, kind, origin, content))


def _text_of(message: MessageReceived, known: bool) -> str:
    """As the model reads it. Words of nobody we know are marked, and anchor no value."""
    by = f"[{message.by}] " if message.by else ""
    unproven = "" if known else "[not proved who says this] "
    restated = f"\nThis value is meant: {message.endorses}" if message.endorses and known else ""
    return clean_text(f"{unproven}{by}{message.text}{restated}")
