"""Orders to take back what a run did, in Postgres: who ordered it, and which run carries it out.

An order is as a start is: anyone may give one, signed where it can be and marked where it is not. Nothing happens by it
but calls through the gateway, each with its own verdict.
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

# Keys of runs that are rollbacks; `order_rollback` makes them, and no other run is opened under one.
_RESERVED = re.compile(r"agent/[^/]*/rollback(-to-\d+)?(-again-\d+)?-of-")


class RollbackRefused(Permanent):
    """What this run did cannot be taken back now; the message says what to do."""


class RollbackNotOrdered(Permanent):
    """This key is for a rollback, and none was ordered; `stanchion rollback RUN` orders one."""


def is_rollback(run_id: str) -> bool:
    """Whether a run of that id takes back what another one did."""
    return _RESERVED.match(run_id) is not None


class RollbackOrder(Order):
    """Someone wants back what a run did after a step."""

    run_id: str = Field(min_length=1, max_length=1_000, pattern=NAME)
    to_step: int = Field(default=0, ge=0, le=1_000_000)
    reason: str = Field(default="", max_length=2_000)

    def said(self) -> Mapping[str, Any]:
        """The run, the step and why."""
        return {"kind": "rollback", "run_id": self.run_id, "to_step": self.to_step, "reason": self.reason}


Proof = Literal["signature", "unsigned", "definition"]


@dataclass(frozen=True)
class Rollback:
    """A rollback as it was ordered, with the run that it takes back."""

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
    calls: int  # that the run made

    @property
    def request(self) -> RunRequest:
        """The start input of its run."""
        since = f" after step {self.to_step}" if self.to_step else ""
        because = f": {self.reason}" if self.reason else ""
        goal = f"Take back what {self.of_run} did{since}{because}"[:GOAL_LIMIT]
        asked = {"agent": self.agent, "goal": goal, "requester": self.by, "tenant": self.tenant, "mode": self.mode}
        return RunRequest.model_validate(asked | {"on_budget": "stop"})  # another order goes on with what is left


@dataclass(frozen=True)
class Target:
    """A run that is to be taken back."""

    tenant: str
    agent_version: str
    is_open: bool


class Rollbacks:
    """Rollbacks in Postgres."""

    def __init__(self, database: Database, authority: Authority | None = None) -> None:
        self._database = database
        self._authority = authority or Authority(database)

    async def order(self, order: RollbackOrder, *, again: bool, by_definition: bool = False) -> Rollback:
        """Order one, or find the one that was ordered. `again`: an earlier one left something that may be tried anew.

        Raises RollbackRefused for a run that is not there, is at work, or is a rollback itself; StoreUnavailable.
        """
        target = await self.target(order.run_id)
        if target.is_open:
            raise RollbackRefused(_at_work(order.run_id))
        who = None if by_definition else await order.signer(self._authority, target.tenant)
        proof = order.proof(who) | ({"proof": "definition"} if by_definition else {})
        row = await SQL["order"].row(
            self._database,
            run=order.run_id,
            step=order.to_step,
            again=again,
            who=who.name if who else clean_text(order.by),
            why=clean_text(order.reason),
            **proof,
        )
        if row is None:
            raise RollbackRefused(_at_work(order.run_id))
        return await self.find(row["rollback_id"])

    async def find(self, rollback_id: str) -> Rollback:
        """One that was ordered. Raises RollbackNotOrdered."""
        row = await SQL["find"].row(self._database, rollback_id=rollback_id)
        if row is None:
            raise RollbackNotOrdered
        return Rollback(**row)

    async def target(self, run_id: str) -> Target:
        """A run that may be taken back, once it is over. Raises RollbackRefused."""
        row = await SQL["target"].row(self._database, run_id=run_id)
        if row is None:
            raise RollbackRefused(f"there is no run {run_id!r}")
        if is_rollback(run_id):
            raise RollbackRefused(
                f"{run_id} is a rollback itself; what it took back is done again by starting the agent anew"
            )
        return Target(row["tenant"], row["agent_version"], row["status"] == "open")


def _at_work(run_id: str) -> str:
    return f"{run_id} is not over; wait for its end, or end it: `stanchion halt {run_id} --undo` does both"
