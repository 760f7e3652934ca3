"""Reads what a run has read and written so far, as evidence for the origin of values.

The evidence for a call is the transcript before the model response that planned the call. The model had read nothing
else, and a retry gets the same evidence. Transcript rows never change, so each worker keeps what it has parsed, and
reads only new rows for the next call.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from activities.agents.versions import AgentVersion
from activities.gateway.evaluation.checks import ARGUMENTS_LIMIT
from activities.gateway.execution.results import as_evidence
from activities.gateway.facts import CallFacts
from activities.model.provider import Text, ToolCall, ToolResult
from activities.policy.values.provenance import Evidence, ModelArguments, Passage
from activities.policy.values.text_index import TextIndex
from activities.storage.canonical import canonical_json
from activities.storage.transcript import Row, Transcripts
from activities.tools.builtin import read_output

# Size of the cache of one worker, in characters of text, over all runs. Parsed text takes 2.5 bytes a character, or 6
# if it is not all ASCII, so the cache takes at most 200 MB, or more for a single larger run.
REMEMBERED = 32_000_000
EACH = 400  # overhead of one text, in characters
READ_OUTPUT = read_output.__name__
AT_ONCE = 32_000  # characters parsed before other coroutines get a turn; takes about ten milliseconds


@dataclass
class _RunEvidence:
    """The evidence of one run, as far as its transcript has been read."""

    rows: int = 0
    characters: int = 0
    passages: TextIndex[Passage] = field(default_factory=TextIndex)
    written_arguments: TextIndex[ModelArguments] = field(default_factory=TextIndex)
    calls: dict[str, ToolCall] = field(default_factory=dict)
    private_since: int | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add_passage(self, passage: Passage) -> None:
        """Add and index a text that the model has read."""
        self.characters += EACH + len(passage.text) + len(passage.arguments)
        self.passages.add(passage)

    def add_arguments(self, written_arguments: ModelArguments) -> None:
        """Add and index arguments that the model has written."""
        self.characters += EACH + len(written_arguments.text)
        self.written_arguments.add(written_arguments)


class EvidenceReader:
    """Reads evidence, each transcript row once. `remembered`: size of its cache in characters."""

    def __init__(self, transcripts: Transcripts, remembered: int = REMEMBERED) -> None:
        self._transcripts = transcripts
        self._remembered = remembered
        self._by_run: OrderedDict[str, _RunEvidence] = OrderedDict()

    async def read(self, facts: CallFacts, agent: AgentVersion) -> Evidence:
        """The evidence for one call. Raises TranscriptGap, StoreUnavailable."""
        memory = self._by_run.setdefault(facts.run_id, _RunEvidence())
        self._by_run.move_to_end(facts.run_id)
        upto = facts.response_seq
        async with memory.lock:
            if memory.rows < upto:
                await self._read_new_rows(memory, facts.run_id, upto, agent)
            passages = memory.passages.before(upto)
            if facts.tainted_by or passages.first("untrusted"):
                await _search_for_secrets(memory.passages)
        self._evict()
        return Evidence(
            passages=passages,
            model_arguments=memory.written_arguments.before(upto),
            endorsed=(*facts.endorsed, *facts.typed_by_approver),
            tainted_by=facts.tainted_by,
            private=facts.private_by is not None or (memory.private_since is not None and memory.private_since < upto),
        )

    async def _read_new_rows(self, memory: _RunEvidence, run_id: str, upto: int, agent: AgentVersion) -> None:
        rows = await self._transcripts.read(run_id, upto)
        paused = memory.characters
        for row in rows[memory.rows :]:
            try:
                _add_row(memory, row, agent)
            except BaseException:
                self._by_run.pop(run_id, None)  # the row may be indexed only in part
                raise
            if memory.characters - paused > AT_ONCE:
                await asyncio.sleep(0)
                paused = memory.characters

    def _evict(self) -> None:
        """Drop the least recently used runs until the cache fits its limit."""
        kept = sum(memory.characters for memory in self._by_run.values())
        while kept > self._remembered and len(self._by_run) > 1:
            kept -= self._by_run.popitem(last=False)[1].characters


async def _search_for_secrets(passages: TextIndex[Passage]) -> None:
    """Search the texts of a tainted run for secrets, with pauses for other coroutines.

    Only the evaluation of a tainted run needs the result.
    """
    searched = 0
    for passage in passages.search_for_secrets():
        searched += len(passage.text)
        if searched > AT_ONCE:
            await asyncio.sleep(0)
            searched = 0


def _add_row(memory: _RunEvidence, row: Row, agent: AgentVersion) -> None:
    for block in row.blocks:
        match block:
            case ToolCall():
                memory.calls[block.call_id] = block
                known = agent.by_name.get(block.name)
                written_arguments = canonical_json(block.input)
                has_effect = known is None or known.effect != "read"
                if has_effect and len(written_arguments) <= ARGUMENTS_LIMIT:  # a call with larger arguments was refused
                    memory.add_arguments(ModelArguments(row.seq, written_arguments))
            case ToolResult():
                _add_result(memory, row, block, agent)
            case Text() if row.kind in ("goal", "message"):
                # The task of a sub-agent may be suspect.
                memory.add_passage(Passage(row.seq, row.origin, block.text, suspect=row.suspect))
    memory.rows = row.seq + 1


def _add_result(memory: _RunEvidence, row: Row, block: ToolResult, agent: AgentVersion) -> None:
    call = _call_of_result(memory, block)
    known = agent.by_name.get(call.name) if call else None
    if known and known.private and memory.private_since is None:
        memory.private_since = row.seq
    if block.is_error and row.origin != "untrusted":
        # The gateway's own error messages may repeat arguments that the model wrote, so their text is no evidence. A
        # suspect mark still counts.
        return memory.add_passage(Passage(row.seq, row.origin, "", suspect=row.suspect))
    arguments = canonical_json(call.input) if call else ""
    memory.add_passage(Passage(row.seq, row.origin, as_evidence(block.text), arguments, row.suspect))


def _call_of_result(memory: _RunEvidence, block: ToolResult) -> ToolCall | None:
    """The call whose output this result holds; for a page that `read_output` returned, the original call."""
    call = memory.calls.get(block.call_id)
    if call is None or call.name != READ_OUTPUT:
        return call
    return memory.calls.get(str(call.input.get("call_id")), call)
