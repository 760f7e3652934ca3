"""Turns a tool's result into the text that the model reads: cut to a limit, with the whole output kept."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from activities.storage.canonical import clean_text, text_digest
from workflows.contracts.budgets import Spent

SHOWN_LIMIT = 16_000  # characters of one result in the transcript: about 4,000 tokens
KEPT_LIMIT = 16_000_000  # characters; a longer output becomes an error
ERROR_LIMIT = 4_000  # characters of an error that the model reads
REASON_LIMIT = 500  # characters of the reason why a result is suspect

# Inserted where a text was cut, so that half a token at the cut is not taken for a whole one: the stub's digits join
# the token beside it, and with a backslash the joined token is no address, host or URL. The digit is not ASCII, so that
# it cannot become part of a JSON escape.
STUB = "\N{ARABIC-INDIC DIGIT ZERO}cut\\cut\N{ARABIC-INDIC DIGIT ZERO}"
_CUT = re.compile(r"\n?…(?! \(page (\d+) of \1\)$)")  # the end of a text that was cut; the last page is not cut
_LATER_PAGE = re.compile(r"\n… \(page (?!1 )\d+ of \d+\)$")


@dataclass(frozen=True)
class Result:
    """The result of a call.

    `text`: what the model reads. `spilled`: the whole output, if `text` is only its first page. `suspect`: why the data
    may be wrong. `data`: what the tool returned, as JSON, for the plausibility checks; it is not stored. `happened`:
    False if the effect certainly did not happen; then only the call itself counts against budgets. `used`: the amounts
    used, by unit, if they are known; otherwise what was reserved counts as used. `spent`: the same, as the run's state
    keeps it.
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
        """The digest of the whole output, its key in the table `blobs`; None if it was not cut."""
        return text_digest(self.spilled) if self.spilled is not None else None

    def suspected(self, reason: str) -> "Result":
        """The same result, marked suspect for this reason, also in the first line that the model reads."""
        added = clean_text(" ".join(reason.split())).rstrip(".") or "it failed a check"
        reasons = f"{self.suspect}; {added}" if self.suspect else added
        reasons = reasons if len(reasons) <= REASON_LIMIT else f"{reasons[: REASON_LIMIT - 1]}…"
        text = self.text.removeprefix(_suspect_line(self.suspect)) if self.suspect else self.text
        return replace(self, suspect=reasons, text=_suspect_line(reasons) + text)


def from_value(value: Any, origin: str, call_id: str, settled_by: str = "result") -> Result:
    """The result of a tool that returned `value`: JSON data, or text, which is shown as it is."""
    text = clean_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False))
    if len(text) > KEPT_LIMIT:
        return from_error(f"the tool ran, but its output of {len(text)} characters is too long to keep", origin)
    if len(text) <= SHOWN_LIMIT:
        return Result(text, False, origin, len(text), settled_by=settled_by)
    pages = pages_of(text)
    note = f"\n… (page 1 of {pages}, {len(text)} characters; read_output(call_id={call_id!r}, page=2) shows more)"
    return Result(text[:SHOWN_LIMIT] + note, False, origin, len(text), spilled=text, settled_by=settled_by)


def from_error(message: str, origin: str = "trusted", settled_by: str = "result", *, happened: bool = True) -> Result:
    """A result that tells the model what went wrong."""
    text = clean_text(message)
    shown = text if len(text) <= ERROR_LIMIT else f"{text[:ERROR_LIMIT]}… ({len(text)} characters, cut)"
    return Result(shown, True, origin, len(text), settled_by=settled_by, happened=happened)


def as_evidence(text: str) -> str:
    """A result's text for tracing values: a stub is put at each cut, so that half a token there names nothing."""
    head = STUB if _LATER_PAGE.search(text) else ""
    return head + _CUT.sub(lambda cut: STUB + cut[0], text)


def _suspect_line(reason: str) -> str:
    return f"[suspect: {reason}. What you do because of it will be asked about.]\n"


def unmarked(text: str, suspect: str | None) -> str:
    """The text without the first line that marks it as suspect."""
    return text.removeprefix(_suspect_line(suspect)) if suspect else text


def pages_of(text: str) -> int:
    """The number of pages that `read_output` has for `text`."""
    return -(-len(text) // SHOWN_LIMIT)


def page_of(text: str, number: int) -> str:
    """One page of `text`; the first is 1. Raises ValueError beyond the last page."""
    pages = pages_of(text)
    if number > pages:
        raise ValueError(f"there are {pages} pages")
    return f"{text[(number - 1) * SHOWN_LIMIT : number * SHOWN_LIMIT]}\n… (page {number} of {pages})"
