"""A run that another run delegated, as it is opened: what it is to do and may use stands in our tables.

Its transcript begins with the task, which the other run's model wrote and which therefore anchors no value; then comes
what people said to the runs above it, as their own words.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.errors import Permanent
from activities.model.provider import Text
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.trace import Trace
from activities.storage.transcript import stored
from workflows.contracts.budgets import Budget
from workflows.contracts.events import RunClosed
from workflows.contracts.runs import Ending, Mode, OpenRequest, RunRequest

SQL = Queries(__file__, "delegated_runs.sql")

NOTE = "Your task stands above. What follows was said by people to the agents that work for them and gave it to you."


class DelegationMismatch(Permanent):
    """This key is that of a sub-agent, and it was not delegated this way, or no longer is; use a key of your own."""


@dataclass(frozen=True)
class Ancestors:
    """Where a run stands: the runs above it and their agents, the first one first; of one that people start, none."""

    parent_run_id: str | None = None
    lineage: Sequence[str] = ()
    agents_above: Sequence[str] = ()
    tainted_by: str | None = None
    private_by: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """As `runs` has it."""
        return {**vars(self), "lineage": list(self.lineage), "agents_above": list(self.agents_above)}


NOWHERE = Ancestors()


@dataclass(frozen=True)
class Delegated:
    """What was delegated."""

    agent: str
    agent_version: str
    tenant: str
    requester: str | None
    task: str
    budget: Budget
    mode: Mode
    line: Ancestors
    upto_seq: int
    suspect: str | None = None
    over: bool = field(default=False)

    def request(self, request: OpenRequest) -> OpenRequest:
        """The request with what really is to be done. Raises NotDelegatedSo: it asks for something else."""
        asked = request.request
        if (asked.agent, asked.tenant, asked.requester) != (self.agent, self.tenant, self.requester) or self.over:
            raise DelegationMismatch(f"{request.run_id} is the id of a sub-agent of {self.line.parent_run_id}")
        real = RunRequest.model_construct(**{**vars(asked), "goal": self.task, "inputs": {}})
        return request.model_copy(update={"request": real})


async def find_delegated(database: Database, run_id: str) -> Delegated | None:
    """What was delegated under this id, if anything was. Raises StoreUnavailable."""
    row = await SQL["find"].row(database, run_id=run_id)
    if row is None:
        return None
    return Delegated(
        agent=row["agent"],
        agent_version=row["agent_version"],
        tenant=row["tenant"],
        requester=row["requester"],
        task=row["task"],
        budget=Budget.model_validate_json(row["budget"]),
        mode=row["mode"],
        line=Ancestors(row["parent_run_id"], row["lineage"], row["agents_above"], row["tainted_by"], row["private_by"]),
        upto_seq=row["upto_seq"],
        suspect=row["suspect"],
        over=row["over"],
    )


async def note_never_admitted(database: Database, run_id: str, ending: Ending) -> None:
    """Keep why a run that was delegated, and is not there, never began. Nothing for any other run; safe to repeat."""
    trace = Trace(run_id, (RunClosed(ending=ending),))
    await SQL["never_admitted"].row(database, run_id=run_id, **trace.columns)


async def write_task(database: Database, run_id: str, delegated: Delegated) -> int:
    """Write the first rows of its transcript; the seq of the next one. Safe to repeat."""
    row: Any = await SQL["write_task"].row(
        database,
        run_id=run_id,
        parent=delegated.line.parent_run_id,
        upto_seq=delegated.upto_seq,
        suspect=delegated.suspect,
        note=json.dumps([Text(text=NOTE).model_dump()]),
        **vars(stored((Text(text=delegated.task),))),
    )
    return int(row["next_seq"])
