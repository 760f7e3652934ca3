"""How a tool's result becomes what the model reads: text, bounded, with the whole of it kept where it was cut."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from activities.storage.canonical import clean_text, text_digest
from workflows.contracts.budgets import Spent

SHOWN_LIMIT = 16_000  # characters of one result in the transcript: about 4,000 tokens
KEPT_LIMIT = 16_000_000  # characters of one result that are kept at all
ERROR_LIMIT = 4_000  # characters of an error the model reads
REASON_LIMIT = 500  # characters of why a result is suspect: a line, not a page

# Put where a text was cut, it makes half a token part of one that names nothing: its letters and digits join whatever
# is beside them, and no address, host or URL has a backslash. A digit that no JSON escape takes for one of its own.
STUB = "\N{ARABIC-INDIC DIGIT ZERO}cut\\cut\N{ARABIC-INDIC DIGIT ZERO}"
_CUT = re.compile(r"\n?…(?! \(page (\d+) of \1\)$)")  # as we end what we cut, but for the last page
_LATER_PAGE = re.compile(r"\n… \(page (?!1 )\d+ of \d+\)$")


@dataclass(frozen=True)
class Result:
    """What a call left: what the model reads, and the whole output where that is only its head.

    `suspect`: why the data may be wrong. `data`: what the tool returned, as JSON, to be judged; it is never stored.
    `happened`: False where it is certain that nothing happened, so that only the call itself counts. `used`: what is
    known, by unit, of what was used instead of what was reserved; `spent` is what of it the run itself is told.
    """

    text: str
    is_error: bool
    origin: str
    size: int
    spilled: str | None = None
    settled_by: str = "result"
    suspect: str | None = None
    data: Any = field(default=None, repr=False, compare=False)
    happened: bool = True
    used: Mapping[str, int] | None = None
    spent: Spent = Spent()  # noqa: RUF009 — frozen

    @property
    def spill_digest(self) -> bytes | None:
        """The key of the whole output among the blobs."""
        return text_digest(self.spilled) if self.spilled is not None else None

    def suspected(self, reason: str) -> "Result":
        """The same result, with this reason to doubt it, which its first line tells the model."""
        said = clean_text(" ".join(reason.split())).rstrip(".") or "it failed a check"
        why = f"{self.suspect}; {said}" if self.suspect else said
        why = why if len(why) <= REASON_LIMIT else f"{why[: REASON_LIMIT - 1]}…"
        text = self.text.removeprefix(_mark(self.suspect)) if self.suspect else self.text
        return replace(self, suspect=why, text=_mark(why) + text)


def from_value(value: Any, origin: str, call_id: str, settled_by: str = "result") -> Result:
    """The result of a tool that returned `value` (JSON data; text is shown as it is)."""
    text = clean_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False))
    if len(text) > KEPT_LIMIT:
        return from_error(f"the tool ran, but its output of {len(text)} characters is too long to keep", origin)
    if len(text) <= SHOWN_LIMIT:
        return Result(text, False, origin, len(text), settled_by=settled_by)
    pages = pages_of(text)
    note = f"\n… (page 1 of {pages}, {len(text)} characters; read_output(call_id={call_id!r}, page=2) shows more)"
    return Result(text[:SHOWN_LIMIT] + note, False, origin, len(text), spilled=text, settled_by=settled_by)


def from_error(message: str, origin: str = "trusted", settled_by: str = "result", *, happened: bool = True) -> Result:
    """A result that says what went wrong."""
    text = clean_text(message)
    shown = text if len(text) <= ERROR_LIMIT else f"{text[:ERROR_LIMIT]}… ({len(text)} characters, cut)"
    return Result(shown, True, origin, len(text), settled_by=settled_by, happened=happened)


def as_evidence(text: str) -> str:
    """What the model read of a result, for finding out what it names: half a token at one of our cuts names nothing."""
    head = STUB if _LATER_PAGE.search(text) else ""
    return head + _CUT.sub(lambda cut: STUB + cut[0], text)


def _mark(reason: str) -> str:
    return f"[suspect: {reason}. What you do because of it will be asked about.]\n"


def unmarked(text: str, suspect: str | None) -> str:
    """What the tool said, without the line that told the model of the doubt."""
    return text.removeprefix(_mark(suspect)) if suspect else text


def pages_of(text: str) -> int:
    """How many pages `read_output` has for `text`."""
    return -(-len(text) // SHOWN_LIMIT)


def page_of(text: str, number: int) -> str:
    """One page, from 1. Raises ValueError beyond the last."""
    pages = pages_of(text)
    if number > pages:
        raise ValueError(f"there are {pages} pages")
    return f"{text[(number - 1) * SHOWN_LIMIT : number * SHOWN_LIMIT]}\n… (page {number} of {pages})"
