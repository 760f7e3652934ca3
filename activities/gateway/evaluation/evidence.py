"""What a run has read and written so far, as evidence for where a value came from.

The model that planned a call had read the transcript below its own response, and nothing else: so that is the evidence,
and it is the same at every attempt. Rows never change, so what was read once is remembered, with what was found in it:
a decision about a run of thousands of rows reads the new ones only.
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

# Characters, of all runs, whose readings one worker keeps. A reading takes two and a half bytes for each, or six where
# not all are ASCII: 200 MB at most, or one run that is larger. A run that is not kept is read again.
REMEMBERED = 32_000_000
EACH = 400  # what a text takes besides, in characters
READ_OUTPUT = read_output.__name__
AT_ONCE = 32_000  # characters read without a pause: some ten milliseconds, in which nothing else of the worker moves


@dataclass
class _RunEvidence:
    """One run's evidence, as far as it was read."""

    rows: int = 0
    characters: int = 0
    passages: TextIndex[Passage] = field(default_factory=TextIndex)
    said: TextIndex[ModelArguments] = field(default_factory=TextIndex)
    calls: dict[str, ToolCall] = field(default_factory=dict)
    private_since: int | None = None
    growing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def put(self, passage: Passage) -> None:
        """Read one thing that the model has read."""
        self.characters += EACH + len(passage.text) + len(passage.arguments)
        self.passages.add(passage)

    def note(self, said: ModelArguments) -> None:
        """Read one thing that the model has said."""
        self.characters += EACH + len(said.text)
        self.said.add(said)


class EvidenceReader:
    """Reads evidence, each row once. `remembered`: characters whose readings it keeps."""

    def __init__(self, transcripts: Transcripts, remembered: int = REMEMBERED) -> None:
        self._transcripts = transcripts
        self._remembered = remembered
        self._known: OrderedDict[str, _RunEvidence] = OrderedDict()

    async def read(self, facts: CallFacts, agent: AgentVersion) -> Evidence:
        """The evidence for one call. Raises TranscriptGap, StoreUnavailable."""
        memory = self._known.setdefault(facts.run_id, _RunEvidence())
        self._known.move_to_end(facts.run_id)
        upto = facts.response_seq
        async with memory.growing:
            if memory.rows < upto:
                await self._grow(memory, facts.run_id, upto, agent)
            passages = memory.passages.before(upto)
            if facts.tainted_by or passages.first("untrusted"):
                await _search(memory.passages)
        self._forget()
        return Evidence(
            passages=passages,
            said=memory.said.before(upto),
            endorsed=(*facts.endorsed, *facts.typed_by_approver),
            tainted_by=facts.tainted_by,
            private=facts.private_by is not None or (memory.private_since is not None and memory.private_since < upto),
        )

    async def _grow(self, memory: _RunEvidence, run_id: str, upto: int, agent: AgentVersion) -> None:
        rows = await self._transcripts.read(run_id, upto)
        paused = memory.characters
        for row in rows[memory.rows :]:
            try:
                _remember(memory, row, agent)
            except BaseException:
                self._known.pop(run_id, None)  # half a row is no evidence
                raise
            if memory.characters - paused > AT_ONCE:
                await asyncio.sleep(0)
                paused = memory.characters

    def _forget(self) -> None:
        """Let go of the runs that were asked about longest ago."""
        kept = sum(memory.characters for memory in self._known.values())
        while kept > self._remembered and len(self._known) > 1:
            kept -= self._known.popitem(last=False)[1].characters


async def _search(passages: TextIndex[Passage]) -> None:
    """Look for secrets among what a tainted run has read, for whoever judges it: of a clean one nobody asks."""
    searched = 0
    for passage in passages.search():
        searched += len(passage.text)
        if searched > AT_ONCE:
            await asyncio.sleep(0)
            searched = 0


def _remember(memory: _RunEvidence, row: Row, agent: AgentVersion) -> None:
    for block in row.blocks:
        match block:
            case ToolCall():
                memory.calls[block.call_id] = block
                known = agent.by_name.get(block.name)
                said = canonical_json(block.input)
                changes = known is None or known.effect != "read"
                if changes and len(said) <= ARGUMENTS_LIMIT:  # with more it was refused, and changed nothing
                    memory.note(ModelArguments(row.seq, said))
            case ToolResult():
                _remember_result(memory, row, block, agent)
            case Text() if row.kind in ("goal", "message"):
                memory.put(Passage(row.seq, row.origin, block.text, suspect=row.suspect))  # a task may be suspect
    memory.rows = row.seq + 1


def _remember_result(memory: _RunEvidence, row: Row, block: ToolResult, agent: AgentVersion) -> None:
    call = _answered(memory, block)
    known = agent.by_name.get(call.name) if call else None
    if known and known.private and memory.private_since is None:
        memory.private_since = row.seq
    if block.is_error and row.origin != "untrusted":
        # Our own words about a call may repeat its arguments: they name nothing, but a doubt about the data stays.
        return memory.put(Passage(row.seq, row.origin, "", suspect=row.suspect))
    arguments = canonical_json(call.input) if call else ""
    memory.put(Passage(row.seq, row.origin, as_evidence(block.text), arguments, row.suspect))


def _answered(memory: _RunEvidence, block: ToolResult) -> ToolCall | None:
    """The call whose output this is: a later page repeats what the call for the first one was given."""
    call = memory.calls.get(block.call_id)
    if call is None or call.name != READ_OUTPUT:
        return call
    return memory.calls.get(str(call.input.get("call_id")), call)
