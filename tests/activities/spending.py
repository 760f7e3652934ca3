"""Runs that are open without a workflow, with calls that a model is said to have planned: to put many calls at once."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.agents.versions import AgentVersion
from activities.errors import Transient
from tests.harness.stanchion import Stanchion, unique
from workflows.contracts.calls import CallRequest, CallResult, Spawn
from workflows.contracts.runs import OpenRequest, RunRequest

STEP = """
INSERT INTO steps (run_id, step, seq, plan, model, stop_reason, usage, usd_micros)
VALUES ($1, 1, $2, '{}', 'scripted', 'tool_use', '{}', 0)"""
CALL = """
INSERT INTO calls (run_id, call_id, step, seq, tool, arguments, digest)
SELECT s.run_id, '1.' || $4 + c.n, 1, s.seq + $4 + c.n, $2, c.arguments::json, repeat('0', 64)
FROM steps s, unnest($3::text[]) WITH ORDINALITY AS c (arguments, n) WHERE s.run_id = $1"""


@dataclass
class Crowd:
    """Calls of open runs, put through several gateways at once, as several workers would."""

    systems: Sequence[Stanchion]
    requests: list[CallRequest] = field(default_factory=list)

    @property
    def first(self) -> Stanchion:
        """The system that opens runs and reads tables."""
        return self.systems[0]

    async def open(self, agent: AgentVersion, **request: Any) -> str:
        """An open run."""
        run_id = f"agent/{agent.definition.name}/{unique('run')}"
        asked = RunRequest.model_validate({"agent": agent.definition.name, "goal": "do it", **request})
        return await self._opened(run_id, asked)

    async def open_sub_agent(self, spawn: Spawn) -> str:
        """The run that a call was delegated to, open."""
        asked = RunRequest(agent=spawn.agent, goal=spawn.goal)
        return await self._opened(spawn.run_id, asked)

    async def _opened(self, run_id: str, asked: RunRequest) -> str:
        run = await self.first.parts.runs.open(OpenRequest(run_id=run_id, chain_id=run_id, request=asked))
        await self.first.rows(STEP, run_id, run.next_seq)
        return run_id

    async def plan(self, run_id: str, tool: str, arguments: Sequence[dict[str, Any]]) -> None:
        """Calls of one run that are ready to be put."""
        there = sum(request.run_id == run_id for request in self.requests)
        await self.first.rows(CALL, run_id, tool, [json.dumps(each) for each in arguments], there)
        self.requests += [CallRequest(run_id=run_id, call_id=f"1.{there + n + 1}") for n in range(len(arguments))]

    async def put(self, requests: Sequence[CallRequest] | None = None) -> list[CallResult]:
        """All calls, or these, at once, through every gateway in turn; the answers in their order."""
        turns = enumerate(self.requests if requests is None else requests)
        return await asyncio.gather(*(self._put(self.systems[n % len(self.systems)], each) for n, each in turns))

    async def _put(self, system: Stanchion, request: CallRequest) -> CallResult:
        while True:
            try:
                return await system.parts.gateway.call(request)
            except Transient:
                await asyncio.sleep(0.01)  # as Temporal would try it again


def kinds(results: Sequence[CallResult]) -> Counter[str]:
    """How often which answer was given: its kind, or the rule of a refusal."""
    return Counter(str(getattr(result, "rule", result.kind)) for result in results)


async def assert_held(system: Stanchion) -> None:
    """No window was ever above its cap, says the trigger that saw every change; and nothing was used unreserved."""
    assert await system.rows("SELECT * FROM cap_breaches") == []
    assert await system.rows("SELECT * FROM windows WHERE settled + reserved > cap OR overrun > 0") == []
