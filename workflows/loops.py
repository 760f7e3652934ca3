"""Loop memory: what a run called lately and what came of it, so that one that goes in circles is noticed.

Part of RunState, so it survives roll-over, restart and replay; it holds digests and no transcript, so compaction does
not touch it. At each rung the run has had the chance to mend itself: first the model is told, with the evidence; then
the call is refused; then the run pauses for a person, whose `resume` forgives what was. Nothing here ends a run.
A sub-agent has a memory of its own, for it has not read what its parent read; that the same work is handed out again is
seen at the parent's calls, and that it goes in a circle in `delegation.py`.

| detector | what counts | told | refused | paused | why these numbers |
| --- | --- | --- | --- | --- | --- |
| repeated-call | same tool and arguments, same answer | 2nd | 3rd | 6th | two may be meant; a third says no more |
| | … each time an error | 3rd | 4th | 6th | two retries are good practice: the error may pass |
| | … each time another answer | 3rd | 6th | 9th | so a queue is drained, and so a job is polled |
| | … a write, and a look since then showed anew | 3rd | 6th | 9th | "next" is pressed, and there is another page |
| alike-calls | reworded, about the same thing, in vain | 3rd | 5th | 8th | to word a search anew twice is sensible |
| | … reads that differ in small numbers only | 4th | 8th | 12th | pages, attempts: a list may end in empty pages |
| same-result | other questions to one read tool, one answer | 3rd | 6th | 9th | three ways to nothing: enough |
| cycle | a round of 2 to 5 calls, over again | 2 rounds | in the 3rd | 4 rounds | once is a plan, twice a pattern |
| errors | errors in a row, of any tool | 3rd | - | 8th | the tools are down, or not understood |
| | … all of them the model's own mistakes | 3rd | - | 5th | it will not get the sixth right |
| no-news | calls in a row without new information | 12th | - | 24th | over half of the default 20 calls; long batches |

What interrupts: a person's message clears the memory; time (`wait`) clears it but for writes. A write that was not made
before lets the same question be asked again (act, look, act, look); anything newly learned does so for reworded and
unlike questions.
Not alike are calls about different things: another id, address, path, name or date is another item of a batch, and
never a repetition, whatever it answers, except to no-news. A run whose arguments and results all differ meets nothing;
an `idempotency_key` or a `nonce` makes no other arguments.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from workflows.contracts.base import Frozen
from workflows.contracts.events import CallFinished
from workflows.contracts.model import PlannedCall
from workflows.detectors import ERROR, MISTAKE, NEW, PLANNED, REFUSED, STALE, Finding, Flag, SeenCall, acts, findings

REMEMBERED = 20  # calls looked back on: four rounds of the longest cycle
TOLD_REMEMBERED = 6  # rules that the model was told of: one of each
READ_REMEMBERED = 4_096  # parsed entries kept per worker: each entry is read twice per call
NAME_SHOWN = 32  # characters of a tool's name in evidence
DUE_AT_ONCE = 3  # notes before one step: more are not read
WAIT_TOOL = "wait"
OF_NO_TOOL = frozenset(("cycle", "errors", "no-news"))  # several tools may have a part in these

_ENTRY = re.compile(r"([0-9a-f]{4})([0-9a-f]{8})([0-9a-f]{16}|-{16})([0-9a-f]{4})([0-9a-f]{8}|-{8})([nsemr])([rw])")
_ODD = re.compile(r"[^A-Za-z0-9_.:-]")  # a model may invent a tool's name, so other characters are replaced


class Evidence(Frozen):
    """A finding in a form small enough to keep: the rule, the tool, and the number of calls."""

    rule: str
    tool: str
    count: int
    period: int = 1

    @property
    def topic(self) -> str:
        """What the model is told once."""
        return self.rule if self.rule in OF_NO_TOOL else f"{self.rule}:{_short(self.tool, 4)}"


class LoopMemory(Frozen):
    """The latest calls, oldest first, and which findings the model was told of."""

    recent: tuple[str, ...] = ()
    forgiven: int = 0  # so many of the oldest count no more: a person let the run go on
    stale: int = 0  # calls in a row that brought nothing new
    due: tuple[Evidence, ...] = ()  # what the model is told before its next step
    told: tuple[str, ...] = ()
    stuck: Evidence | None = None  # telling it did not help: a person has to look

    def after(self, call: PlannedCall, event: CallFinished, *, waiting_forgives_writes: bool = False) -> "LoopMemory":
        """The memory once this call is done. Waiting clears it but for writes: to look again after a while is no loop.

        `waiting_forgives_writes`: as it was for runs that were opened before 2026-11-28.
        """
        if call.tool == WAIT_TOOL:
            return self.forgotten() if waiting_forgives_writes else self._only_writes()
        seen = _seen(call, event)
        calls = (*self._calls(), seen)
        stale = 0 if seen.flag == NEW or acts(seen, calls[:-1]) else self.stale + 1
        dropped = max(len(self.recent) + 1 - REMEMBERED, 0)
        memory = self.having(
            recent=(*self.recent, _written(seen))[-REMEMBERED:],
            forgiven=max(self.forgiven - dropped, 0),
            stale=stale,
            told=self._still_told(seen, stale),
        )
        return memory._weighed(call.tool, findings(calls, stale))

    def against(self, call: PlannedCall, together: Iterable[PlannedCall] = ()) -> Evidence | None:
        """Why this call is one too many, or None. `together`: calls planned before it that have no result yet."""
        if call.tool == WAIT_TOOL:
            return None
        planned = [_seen(other, None) for other in together if (other.tool, other.digest) == (call.tool, call.digest)]
        found = findings((*self._calls(), *planned, _seen(call, None)), 0)
        return next((_evidence(call.tool, finding) for finding in found if finding.refuses), None)

    def forgotten(self) -> "LoopMemory":
        """An empty memory, after a person's message."""
        return LoopMemory()

    def _only_writes(self) -> "LoopMemory":
        """The memory after a wait: reads are forgotten, since they may have other answers now; writes are kept."""
        counted = self.recent[self.forgiven :]
        writes = tuple(entry for entry in counted if _read(entry).writes)
        return LoopMemory(recent=writes, told=self.told)

    def forgave(self) -> "LoopMemory":
        """The memory after a person resumed the run: earlier calls do not count any more."""
        return LoopMemory(recent=self.recent, forgiven=len(self.recent))

    def heard(self) -> "LoopMemory":
        """The model was told all that was due."""
        if not self.due:
            return self
        told = tuple(evidence.topic for evidence in self.due)
        return self.having(due=(), told=(*self.told, *told)[-TOLD_REMEMBERED:])

    def most_repeated(self, window: int) -> int:
        """How often the commonest of the last `window` calls was made, forgiven or not."""
        keys = [_read(entry).key for entry in self.recent[-window:]]
        return max(Counter(keys).values(), default=0)

    def _calls(self) -> tuple[SeenCall, ...]:
        return tuple(_read(entry) for entry in self.recent[self.forgiven :])

    def _still_told(self, seen: SeenCall, stale: int) -> tuple[str, ...]:
        """The topics that were told, without those whose row of calls has ended: they are told again next time."""
        over = {"errors"} if seen.flag in (NEW, STALE) else set()
        over |= {"no-news"} if not stale else set()
        return tuple(topic for topic in self.told if topic not in over)

    def _weighed(self, tool: str, found: Iterable[Finding]) -> "LoopMemory":
        """Note what the model is to be told, or pause the run for a rule that it was told of before."""
        due, stuck = list(self.due), self.stuck
        for finding in found:
            evidence = _evidence(tool, finding)
            if finding.count >= finding.limits.pause and evidence.topic in self.told:
                stuck = stuck or evidence
            elif finding.count >= finding.limits.note and evidence.topic not in self.told:
                due = [*(other for other in due if other.topic != evidence.topic), evidence]
        return self.having(due=tuple(due[-DUE_AT_ONCE:]), stuck=stuck)


def _evidence(tool: str, finding: Finding) -> Evidence:
    name = _ODD.sub("?", tool)[:NAME_SHOWN]
    return Evidence(rule=finding.rule, tool=name, count=finding.count, period=finding.period)


def _seen(call: PlannedCall, event: CallFinished | None) -> SeenCall:
    sketch = int(call.sketch, 16) if re.fullmatch("[0-9a-f]{16}", call.sketch) else None
    result = _short(event.result, 8) if event and event.result else ""
    return SeenCall(
        tool := _short(call.tool, 4),
        tool + _short(call.digest[:16], 8),
        sketch,
        _short(call.shape or call.digest, 4),
        result,
        _flag(event),
        not call.parallel,
    )


def _flag(event: CallFinished | None) -> Flag:
    if event is None:
        return PLANNED
    if event.correctable:
        return MISTAKE
    if not event.performed:
        return REFUSED
    if event.is_error:
        return ERROR
    return NEW if event.new else STALE


def _short(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:digits]


def _written(seen: SeenCall) -> str:
    sketch = "-" * 16 if seen.sketch is None else f"{seen.sketch:016x}"
    ran = "w" if seen.writes else "r"
    return f"{seen.key}{sketch}{seen.shape}{seen.result or '-' * 8}{seen.flag}{ran}"


@lru_cache(maxsize=READ_REMEMBERED)
def _read(entry: str) -> SeenCall:
    """Parse an entry. States of old runs have entries of the form `tool:digest`, without results."""
    if match := _ENTRY.fullmatch(entry):
        tool, digest, sketch, shape, result, flag, ran = match.groups()
        bits = None if sketch[0] == "-" else int(sketch, 16)
        return SeenCall(tool, tool + digest, bits, shape, result.strip("-"), _known(flag), ran == "w")
    name, _, old = entry.rpartition(":")
    tool = _short(name, 4)
    return SeenCall(tool, tool + _short(old, 8), None, _short(old, 4), "", STALE, False)


def _known(flag: str) -> Flag:
    return next(known for known in (NEW, STALE, ERROR, MISTAKE, REFUSED) if known == flag)
