"""What a result tells a run that it did not know: a short digest of it, and whether any of it is new."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from activities.gateway.execution.results import Result
from activities.gateway.facts import CallFacts
from activities.model.provider import ToolResult
from activities.storage.database import StoreUnavailable
from activities.storage.transcript import TranscriptGap, Transcripts

LOOKED_BACK = 200  # rows of the transcript that a result is compared with: what lies further back may be read again
DIGEST = 12  # hex digits; a collision would make two results of one run look the same, once in 2^48

# What differs from call to call though the answer is the same. The pattern begins with the digit that all of it begins
# with: a search for that is five times as fast as one for a choice of beginnings.
_VOLATILE = re.compile(
    r"\d(?:"
    r"\d{3}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?"  # 2026-01-31T12:00:00.123Z
    r"|(?<!\w\d)\d:\d\d(:\d\d([.,]\d+)?)?\b"  # 12:00:03
    r"|(?<!\w\d)\d*([.,]\d+)? ?(ms|milliseconds|s|secs?|seconds)\b"  # how long it took
    r")",
    re.IGNORECASE,
)
# So is a request id, which may begin with a letter; a text without the end of one has none.
_ID_ENDS = re.compile(r"-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_ID = re.compile(rf"\b[0-9a-f]{{8}}{_ID_ENDS.pattern}", re.IGNORECASE)


@dataclass(frozen=True)
class Novelty:
    """`digest`: equal for the same answer. `new`: it says something, and the run had not read it before."""

    digest: str
    new: bool


async def novelty_of(transcripts: Transcripts, facts: CallFacts, result: Result) -> Novelty:
    """What is new in `result`. If the run's transcript cannot be read now, what is not empty counts as new."""
    digest = digest_of(result.text)
    if result.is_error or says_nothing(result.text, result.data):
        return Novelty(digest, False)
    try:
        rows = await transcripts.read(facts.run_id, facts.response_seq)
    except (StoreUnavailable, TranscriptGap):  # a known result must be written, whatever else is missing
        return Novelty(digest, True)
    known = (block for row in rows[-LOOKED_BACK:] if row.kind == "result" for block in row.blocks)
    return Novelty(digest, all(not isinstance(block, ToolResult) or block.text != result.text for block in known))


def digest_of(text: str) -> str:
    """A digest of what the model reads, without times, durations and request ids."""
    known = _ID.sub("…", text) if _ID_ENDS.search(text) else text
    still = " ".join(_VOLATILE.sub("…", known).split()).casefold()
    return hashlib.sha256(still.encode()).hexdigest()[:DIGEST]


def says_nothing(text: str, data: Any = None) -> bool:
    """Empty, or a frame around nothing: `[]`, `{"items": [], "total": 0}`. A bare 0 is an answer."""
    return not text.strip() or text.strip() in ("null", "[]", "{}", '""') or _has_no_content(data)


def _has_no_content(data: Any) -> bool:
    if isinstance(data, dict):
        members = list(data.values())
        hollow = [_has_no_content(member) for member in members]
        return any(hollow) and all(empty or member in (0, False) for empty, member in zip(hollow, members, strict=True))
    return isinstance(data, list | str) and not data
