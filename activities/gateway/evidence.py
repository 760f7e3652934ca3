"""What a run has read and written so far, as evidence for where a value came from.

The model that planned a call had read the transcript below its own response, and nothing else: so that is the evidence,
and it is the same at every attempt. Rows never change, so what was read once is remembered.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from activities.agents.versions import AgentVersion
from activities.gateway.facts import CallFacts
from activities.model.provider import Text, ToolCall, ToolResult
from activities.policy.provenance import Evidence, Passage, Said
from activities.storage.canonical import canonical_json
from activities.storage.transcript import Row, Transcripts

RUNS_REMEMBERED = 200  # runs whose evidence one worker keeps; a run that is not among them is read again


@dataclass
class _Memory:
    """One run's evidence, as far as it was read."""

    rows: int = 0
    passages: list[Passage] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    calls: dict[str, ToolCall] = field(default_factory=dict)
    private_since: int | None = None


class EvidenceReader:
    """Reads evidence, each row once."""

    def __init__(self, transcripts: Transcripts) -> None:
        self._transcripts = transcripts
        self._known: OrderedDict[str, _Memory] = OrderedDict()

    async def read(self, facts: CallFacts, agent: AgentVersion) -> Evidence:
        """The evidence for one call. Raises TranscriptGap, StoreUnavailable."""
        memory = self._known.setdefault(facts.run_id, _Memory())
        self._known.move_to_end(facts.run_id)
        while len(self._known) > RUNS_REMEMBERED:
            self._known.popitem(last=False)
        upto = facts.response_seq
        if memory.rows < upto:
            rows = await self._transcripts.read(facts.run_id, upto)
            _remember(memory, rows[memory.rows :], agent)
        return Evidence(
            passages=tuple(passage for passage in memory.passages if passage.seq < upto),
            said=tuple(said for said in memory.said if said.seq < upto),
            endorsed=(*facts.endorsed, *facts.typed_by_approver),
            tainted_by=facts.tainted_by,
            private=memory.private_since is not None and memory.private_since < upto,
        )


def _remember(memory: _Memory, rows: Iterable[Row], agent: AgentVersion) -> None:
    for row in rows:
        memory.rows = row.seq + 1
        for block in row.blocks:
            match block:
                case ToolCall():
                    memory.calls[block.call_id] = block
                    known = agent.by_name.get(block.name)
                    if known is None or known.effect != "read":
                        memory.said.append(Said(row.seq, canonical_json(block.input)))
                case ToolResult():
                    _remember_result(memory, row, block, agent)
                case Text() if row.kind in ("goal", "message"):
                    memory.passages.append(Passage(row.seq, row.origin, block.text))


def _remember_result(memory: _Memory, row: Row, block: ToolResult, agent: AgentVersion) -> None:
    call = memory.calls.get(block.call_id)
    known = agent.by_name.get(call.name) if call else None
    if known and known.private and memory.private_since is None:
        memory.private_since = row.seq
    if block.is_error and row.origin != "untrusted":
        return  # our own words about a call may repeat its arguments: they are evidence for nothing
    arguments = canonical_json(call.input) if call else ""
    memory.passages.append(Passage(row.seq, row.origin, block.text, arguments, row.suspect))
