"""Halts in Postgres: ordering, lifting, listing. The only writer of halts.

Anyone may stop: an order is signed where it can be, and marked where it is not, and never refused. Lifting is a
decision: it takes a person who is proved, and two of them for the fleet.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from activities.approvals.authority import Authority, Identified
from activities.approvals.signed_orders import Order
from activities.errors import Permanent
from activities.identity.proof import EVERY_TENANT
from activities.storage.canonical import clean_text
from activities.storage.database import Database
from activities.storage.queries import Queries
from workflows.contracts.base import NAME
from workflows.contracts.halts import HaltNotice, HaltScope

SQL = Queries(__file__, "halts.sql")

PEOPLE = {"fleet": 2}  # how many distinct people it takes to lift a halt, where one is not enough

Outcome = Literal["done", "not done", "unknown"]


class HaltUnknown(Permanent):
    """There is no such halt; `stanchion halts` lists those in force."""


class LiftRefused(Permanent):
    """This person's order to lift does not count."""


class HaltOrder(Order):
    """Someone stops something. `key`, `at` and `signature` prove who; without them the order counts, and is marked."""

    scope: HaltScope
    target: str = Field(default="", max_length=400, pattern=NAME)
    reason: str = Field(default="", max_length=2_000)

    @model_validator(mode="after")
    def _aims(self) -> "HaltOrder":
        if (self.scope == "fleet") != (self.target == ""):
            raise ValueError("a halt of the fleet names nothing; any other names what it halts")
        return self

    def said(self) -> Mapping[str, Any]:
        """Its scope, its target and why."""
        return {"kind": "halt", "scope": self.scope, "target": self.target, "reason": self.reason}


class LiftOrder(Order):
    """Someone wants a halt lifted."""

    halt_id: str

    def said(self) -> Mapping[str, Any]:
        """The halt's id: an order to lift one lifts no other."""
        return {"kind": "lift", "halt_id": self.halt_id}


@dataclass(frozen=True)
class Halt:
    """A halt as it stands in the table."""

    notice: HaltNotice
    proof: str
    at: datetime
    in_flight: tuple[dict[str, Any], ...]  # {run_id, call_id, tool, contract, fence}, as it committed
    lifted_at: datetime | None = None
    lift_ordered_by: tuple[str, ...] = ()

    @property
    def people(self) -> int:
        """How many people it takes to lift it."""
        return PEOPLE.get(self.notice.scope, 1)


@dataclass(frozen=True)
class LiftResult:
    """What an order to lift came to."""

    halt: Halt
    lifted: bool
    by: tuple[str, ...]


@dataclass(frozen=True)
class SettledEffect:
    """What became of an effect that was in flight when a halt committed."""

    run_id: str
    call_id: str
    tool: str
    contract: str
    outcome: Outcome


class Halts:
    """Halts in Postgres."""

    def __init__(self, database: Database, authority: Authority | None = None) -> None:
        self._database = database
        self._authority = authority or Authority(database)

    async def order(self, order: HaltOrder) -> Halt:
        """Halt a scope. Once this returns, nothing of it is claimed any more, and every watch was called.

        Raises StoreUnavailable.
        """
        who = await order.signer(self._authority, await self._tenant(order.scope, order.target))
        row = await SQL["order"].row(
            self._database,
            halt_id=f"halt-{secrets.token_hex(4)}",
            scope=order.scope,
            target=clean_text(order.target),
            by=who.name if who else clean_text(order.by),
            reason=clean_text(order.reason),
            **order.proof(who),
        )
        return _halt(row)

    async def lift(self, order: LiftOrder) -> LiftResult:
        """One person's order to lift. Raises HaltUnknown, LiftRefused, StoreUnavailable."""
        halt = await self.find(order.halt_id)
        scope = halt.notice.scope
        who = await order.giver(self._authority, await self._tenant(scope, halt.notice.target), halt.at)
        if not isinstance(who, Identified):
            raise LiftRefused(f"{order.by} cannot lift {order.halt_id}: {who.reason}")
        row: Any = await SQL["lift"].row(
            self._database, halt_id=order.halt_id, by=who.name, people=halt.people, **order.proof(who)
        )
        return LiftResult(halt, row["lifted"], tuple(row["by_whom"]))

    async def active(self, scope: HaltScope | None = None, target: str = "") -> list[Halt]:
        """The halts in force: all, or those of exactly this scope and target."""
        found = [_halt(row) for row in await SQL["active"].rows(self._database)]
        return [h for h in found if scope is None or (h.notice.scope, h.notice.target) == (scope, target)]

    async def find(self, halt_id: str) -> Halt:
        """One halt, lifted or not. Raises HaltUnknown."""
        row = await SQL["find"].row(self._database, halt_id=halt_id)
        if row is None:
            raise HaltUnknown(f"there is no halt {halt_id!r}; `stanchion halts` lists those in force")
        return _halt(row)

    async def in_flight(self, halt_id: str) -> list[SettledEffect]:
        """What became of the effects that were in flight when this halt committed, as far as it is known by now."""
        return [SettledEffect(**row) for row in await SQL["in_flight"].rows(self._database, halt_id=halt_id)]

    async def retire(self, age: float = 0.0) -> None:
        """Close the halts of runs that have ended, so many seconds ago."""
        await SQL["retire"].rows(self._database, age=age)

    async def _tenant(self, scope: HaltScope, target: str) -> str:
        """Whose people have a say: the tenant's, or those of every tenant where more than one is concerned."""
        if scope == "tenant":
            return target
        if scope == "run" and (row := await SQL["tenant_of"].row(self._database, run_id=target)):
            return str(row["tenant"])
        return EVERY_TENANT


def _halt(row: Any) -> Halt:
    names = ("halt_id", "scope", "target", "by", "reason")
    return Halt(
        notice=HaltNotice(**{name: row[name] for name in names}),
        proof=row["proof"],
        at=row["at"],
        in_flight=tuple(json.loads(row["in_flight"])),
        lifted_at=row["lifted_at"],
        lift_ordered_by=tuple(row.get("lift_ordered_by", ())),
    )
