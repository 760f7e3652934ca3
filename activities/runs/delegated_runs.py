"""Opens the run of a sub-agent: its task and budget come from the table `delegations`, not from the request.

Its transcript begins with the task. The parent's model wrote the task, so it anchors no value. The messages of people
to the runs above follow, with the origin `user`.
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
    """This key is reserved for a sub-agent, whose delegation is different, or over; use another key."""


@dataclass(frozen=True)
class Ancestors:
    """The runs above a run and their agents, the topmost first; none for a run that a person started."""

    parent_run_id: str | None = None
    lineage: Sequence[str] = ()
    agents_above: Sequence[str] = ()
    tainted_by: str | None = None
    private_by: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the table `runs`."""
        return {**vars(self), "lineage": list(self.lineage), "agents_above": list(self.agents_above)}


NO_ANCESTORS = Ancestors()


@dataclass(frozen=True)
class Delegated:
    """A delegation. `over`: it has ended, and its run can no longer be opened."""

    agent: str
    agent_version: str
    tenant: str
    requester: str | None
    task: str
    budget: Budget
    mode: Mode
    ancestors: Ancestors
    upto_seq: int
    suspect: str | None = None
    over: bool = field(default=False)

    def request(self, request: OpenRequest) -> OpenRequest:
        """The request, with the delegated task as its goal. Raises DelegationMismatch if it does not fit."""
        run_request = request.request
        requested_for = (run_request.agent, run_request.tenant, run_request.requester)
        if self.over or requested_for != (self.agent, self.tenant, self.requester):
            raise DelegationMismatch(f"{request.run_id} is the id of a sub-agent of {self.ancestors.parent_run_id}")
        with_task = RunRequest.model_construct(**{**vars(run_request), "goal": self.task, "inputs": {}})
        return request.model_copy(update={"request": with_task})


async def find_delegated(database: Database, run_id: str) -> Delegated | None:
    """The delegation with this run id, or None. Raises StoreUnavailable."""
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
        ancestors=Ancestors(
            row["parent_run_id"], row["lineage"], row["agents_above"], row["tainted_by"], row["private_by"]
        ),
        upto_seq=row["upto_seq"],
        suspect=row["suspect"],
        over=row["over"],
    )


async def note_never_admitted(database: Database, run_id: str, ending: Ending) -> None:
    """Store why a delegated run was never opened. Does nothing for other runs. Safe to repeat."""
    trace = Trace(run_id, (RunClosed(ending=ending),))
    await SQL["never_admitted"].row(database, run_id=run_id, **trace.columns)


async def write_task(database: Database, run_id: str, delegated: Delegated) -> int:
    """Write the first rows of the sub-agent's transcript, and return the next seq. Safe to repeat."""
    row: Any = await SQL["write_task"].row(
        database,
        run_id=run_id,
        parent=delegated.ancestors.parent_run_id,
        upto_seq=delegated.upto_seq,
        suspect=delegated.suspect,
        note=json.dumps([Text(text=NOTE).model_dump()]),
        **vars(stored((Text(text=delegated.task),))),
    )
    return int(row["next_seq"])
