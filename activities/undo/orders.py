"""Orders rollbacks of runs, in Postgres: who ordered one, and which run performs it.

Anyone may order a rollback, as anyone may start a run; an unsigned order is stored as unsigned. A rollback only makes
calls through the gateway, and each has its own verdict.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from activities.approvals.authority import Authority
from activities.approvals.signed_orders import Order
from activities.errors import Permanent
from activities.storage.canonical import clean_text
from activities.storage.database import Database
from activities.storage.queries import Queries
from workflows.contracts.base import NAME
from workflows.contracts.runs import GOAL_LIMIT, RunRequest

SQL = Queries(__file__, "undo.sql")

# The run ids of rollbacks. Only the SQL function `order_rollback` creates them; no other run can be opened with one.
_RESERVED = re.compile(r"agent/[^/]*/rollback(-to-\d+)?(-again-\d+)?-of-")


class RollbackRefused(Permanent):
    """This run cannot be rolled back now; the message says what to do."""


class RollbackNotOrdered(Permanent):
    """This run id is reserved for a rollback, and none was ordered; `stanchion rollback RUN` orders one."""


def is_rollback(run_id: str) -> bool:
    """Whether this is the run id of a rollback."""
    return _RESERVED.match(run_id) is not None


class RollbackOrder(Order):
    """An order to undo what a run did after a step."""

    run_id: str = Field(min_length=1, max_length=1_000, pattern=NAME)
    to_step: int = Field(default=0, ge=0, le=1_000_000)
    reason: str = Field(default="", max_length=2_000)

    def signed_fields(self) -> Mapping[str, Any]:
        """The run, the step and the reason."""
        return {"kind": "rollback", "run_id": self.run_id, "to_step": self.to_step, "reason": self.reason}


Proof = Literal["signature", "unsigned", "definition"]


@dataclass(frozen=True)
class Rollback:
    """A rollback as it was ordered, with the run that it undoes."""

    rollback_id: str
    of_run: str
    to_step: int
    by: str
    reason: str
    proof: Proof
    agent: str
    agent_version: str
    tenant: str
    mode: str
    calls: int  # number of calls that `of_run` made

    @property
    def request(self) -> RunRequest:
        """The input to start the rollback's run with."""
        after_step = f" after step {self.to_step}" if self.to_step else ""
        reason = f": {self.reason}" if self.reason else ""
        goal = f"Take back what {self.of_run} did{after_step}{reason}"[:GOAL_LIMIT]
        fields = {"agent": self.agent, "goal": goal, "requester": self.by, "tenant": self.tenant, "mode": self.mode}
        return RunRequest.model_validate(fields | {"on_budget": "stop"})  # a further order can undo what is left


@dataclass(frozen=True)
class Target:
    """A run to be rolled back."""

    tenant: str
    agent_version: str
    is_open: bool


class Rollbacks:
    """Orders and finds rollbacks in Postgres."""

    def __init__(self, database: Database, authority: Authority | None = None) -> None:
        self._database = database
        self._authority = authority or Authority(database)

    async def order(self, order: RollbackOrder, *, again: bool, by_definition: bool = False) -> Rollback:
        """Order a rollback, or find the one that was ordered. `again`: order another one, for what the last one left.

        Raises RollbackRefused for a run that does not exist, is open, or is a rollback itself; StoreUnavailable.
        """
        target = await self.target(order.run_id)
        if target.is_open:
            raise RollbackRefused(_still_open(order.run_id))
        signer = None if by_definition else await order.find_signer(self._authority, target.tenant)
        proof = order.proof_columns(signer) | ({"proof": "definition"} if by_definition else {})
        row = await SQL["order"].row(
            self._database,
            run=order.run_id,
            step=order.to_step,
            again=again,
            who=signer.name if signer else clean_text(order.by),
            why=clean_text(order.reason),
            **proof,
        )
        if row is None:
            raise RollbackRefused(_still_open(order.run_id))
        return await self.find(row["rollback_id"])

    async def find(self, rollback_id: str) -> Rollback:
        """The rollback with this run id. Raises RollbackNotOrdered."""
        row = await SQL["find"].row(self._database, rollback_id=rollback_id)
        if row is None:
            raise RollbackNotOrdered
        return Rollback(**row)

    async def target(self, run_id: str) -> Target:
        """The run to be rolled back. Raises RollbackRefused if it does not exist, or is a rollback."""
        row = await SQL["target"].row(self._database, run_id=run_id)
        if row is None:
            raise RollbackRefused(f"there is no run {run_id!r}")
        if is_rollback(run_id):
            raise RollbackRefused(f"{run_id} is a rollback itself; to do again what it undid, start the agent again")
        return Target(row["tenant"], row["agent_version"], row["status"] == "open")


def _still_open(run_id: str) -> str:
    return f"{run_id} is not over; wait for its end, or halt it and roll it back: `stanchion halt {run_id} --undo`"
