"""Computes a digest of a tool result, and whether the result is new to its run; loop detection uses both."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from activities.gateway.execution.results import Result
from activities.gateway.facts import CallFacts
from activities.model.provider import ToolResult
from activities.storage.database import StoreUnavailable
from activities.storage.transcript import TranscriptGap, Transcripts

LOOKED_BACK = 200  # a result counts as new if none of the last 200 transcript rows has the same text
DIGEST = 12  # hex digits; a collision would make two results of one run look the same, once in 2^48

# Times and durations, which differ from call to call even if the answer is the same. The pattern starts with one common
# digit because that makes the search five times as fast as an alternation at the start.
_VOLATILE = re.compile(
    r"\d(?:"
    r"\d{3}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?"  # 2026-01-31T12:00:00.123Z
    r"|(?<!\w\d)\d:\d\d(:\d\d([.,]\d+)?)?\b"  # 12:00:03
    r"|(?<!\w\d)\d*([.,]\d+)? ?(ms|milliseconds|s|secs?|seconds)\b"  # how long it took
    r")",
    re.IGNORECASE,
)
# Request ids (UUIDs) differ as well. They may begin with a letter, so a cheaper pattern first looks for the end of one.
_ID_ENDS = re.compile(r"-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_ID = re.compile(rf"\b[0-9a-f]{{8}}{_ID_ENDS.pattern}", re.IGNORECASE)


@dataclass(frozen=True)
class Novelty:
    """`digest`: equal for equal answers. `new`: the result is not empty, and the run has not read it before."""

    digest: str
    new: bool


async def novelty_of(transcripts: Transcripts, facts: CallFacts, result: Result) -> Novelty:
    """The novelty of `result`. If the transcript cannot be read now, every result that is not empty counts as new."""
    digest = digest_of(result.text)
    if result.is_error or says_nothing(result.text, result.data):
        return Novelty(digest, False)
    try:
        rows = await transcripts.read(facts.run_id, facts.response_seq)
    except (StoreUnavailable, TranscriptGap):  # a known result must be stored in any case
        return Novelty(digest, True)
    earlier = (block for row in rows[-LOOKED_BACK:] if row.kind == "result" for block in row.blocks)
    return Novelty(digest, all(not isinstance(block, ToolResult) or block.text != result.text for block in earlier))


def digest_of(text: str) -> str:
    """A digest of `text`, ignoring times, durations, request ids, case and white space."""
    without_ids = _ID.sub("…", text) if _ID_ENDS.search(text) else text
    stable = " ".join(_VOLATILE.sub("…", without_ids).split()).casefold()
    return hashlib.sha256(stable.encode()).hexdigest()[:DIGEST]


def says_nothing(text: str, data: Any = None) -> bool:
    """Whether a result is empty, or only wraps something empty, like `{"items": [], "total": 0}`. A bare 0 is not."""
    return not text.strip() or text.strip() in ("null", "[]", "{}", '""') or _is_empty_data(data)


def _is_empty_data(data: Any) -> bool:
    if isinstance(data, dict):
        members = list(data.values())
        members_empty = [_is_empty_data(member) for member in members]
        return any(members_empty) and all(
            empty or member in (0, False) for empty, member in zip(members_empty, members, strict=True)
        )
    return isinstance(data, list | str) and not data
