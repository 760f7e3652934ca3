"""Orders, lifts and lists halts in Postgres; no other module writes halts.

Anyone may order a halt: an unsigned order is never refused, but stored as unsigned. Only a person who is proved may
lift one; a halt of the fleet needs two.
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

PEOPLE = {"fleet": 2}  # distinct people needed to lift a halt, by scope; 1 for the other scopes

Outcome = Literal["done", "not done", "unknown"]


class HaltUnknown(Permanent):
    """There is no such halt; `stanchion halts` lists those in force."""


class LiftRefused(Permanent):
    """This person may not lift this halt."""


class HaltOrder(Order):
    """An order to halt a scope. It counts without `key`, `at` and `signature` too, and is then stored as unsigned."""

    scope: HaltScope
    target: str = Field(default="", max_length=400, pattern=NAME)
    reason: str = Field(default="", max_length=2_000)

    @model_validator(mode="after")
    def _check_target(self) -> "HaltOrder":
        if (self.scope == "fleet") != (self.target == ""):
            raise ValueError("a halt of the fleet has no target; any other halt names its target")
        return self

    def signed_fields(self) -> Mapping[str, Any]:
        """The scope, the target and the reason."""
        return {"kind": "halt", "scope": self.scope, "target": self.target, "reason": self.reason}


class LiftOrder(Order):
    """An order to lift a halt."""

    halt_id: str

    def signed_fields(self) -> Mapping[str, Any]:
        """The halt's id, so that the order lifts no other halt."""
        return {"kind": "lift", "halt_id": self.halt_id}


@dataclass(frozen=True)
class Halt:
    """A row of the table `halts`."""

    notice: HaltNotice
    proof: str
    at: datetime
    in_flight: tuple[dict[str, Any], ...]  # {run_id, call_id, tool, contract, fence} at its commit
    lifted_at: datetime | None = None
    lift_ordered_by: tuple[str, ...] = ()

    @property
    def people(self) -> int:
        """The number of people needed to lift it."""
        return PEOPLE.get(self.notice.scope, 1)


@dataclass(frozen=True)
class LiftResult:
    """The result of an order to lift: whether the halt is lifted, and who ordered that so far."""

    halt: Halt
    lifted: bool
    by: tuple[str, ...]


@dataclass(frozen=True)
class SettledEffect:
    """The outcome of an effect that was in flight when a halt committed."""

    run_id: str
    call_id: str
    tool: str
    contract: str
    outcome: Outcome


class Halts:
    """Orders, lifts and lists halts in Postgres."""

    def __init__(self, database: Database, authority: Authority | None = None) -> None:
        self._database = database
        self._authority = authority or Authority(database)

    async def order(self, order: HaltOrder) -> Halt:
        """Halt a scope. Once this returns, no call in the scope can be claimed, and all watches are notified.

        Raises StoreUnavailable.
        """
        signer = await order.find_signer(self._authority, await self._tenant_of(order.scope, order.target))
        row = await SQL["order"].row(
            self._database,
            halt_id=f"halt-{secrets.token_hex(4)}",
            scope=order.scope,
            target=clean_text(order.target),
            by=signer.name if signer else clean_text(order.by),
            reason=clean_text(order.reason),
            **order.proof_columns(signer),
        )
        return _halt(row)

    async def lift(self, order: LiftOrder) -> LiftResult:
        """Store one person's order to lift. The halt is lifted once enough people ordered that.

        Raises HaltUnknown, LiftRefused, StoreUnavailable.
        """
        halt = await self.find(order.halt_id)
        scope = halt.notice.scope
        tenant = await self._tenant_of(scope, halt.notice.target)
        author = await order.identify_author(self._authority, tenant, since=halt.at)
        if not isinstance(author, Identified):
            raise LiftRefused(f"{order.by} cannot lift {order.halt_id}: {author.reason}")
        row: Any = await SQL["lift"].row(
            self._database, halt_id=order.halt_id, by=author.name, people=halt.people, **order.proof_columns(author)
        )
        return LiftResult(halt, row["lifted"], tuple(row["by_whom"]))

    async def active(self, scope: HaltScope | None = None, target: str = "") -> list[Halt]:
        """All halts in force, or those with exactly this scope and target."""
        halts = [_halt(row) for row in await SQL["active"].rows(self._database)]
        return [halt for halt in halts if scope is None or (halt.notice.scope, halt.notice.target) == (scope, target)]

    async def find(self, halt_id: str) -> Halt:
        """A halt in force or lifted. Raises HaltUnknown."""
        row = await SQL["find"].row(self._database, halt_id=halt_id)
        if row is None:
            raise HaltUnknown(f"there is no halt {halt_id!r}; `stanchion halts` lists those in force")
        return _halt(row)

    async def in_flight(self, halt_id: str) -> list[SettledEffect]:
        """The outcomes, as known by now, of the effects that were in flight when this halt committed."""
        return [SettledEffect(**row) for row in await SQL["in_flight"].rows(self._database, halt_id=halt_id)]

    async def retire(self, age: float = 0.0) -> None:
        """Close the halts of runs that ended more than `age` seconds ago."""
        await SQL["retire"].rows(self._database, age=age)

    async def _tenant_of(self, scope: HaltScope, target: str) -> str:
        """The tenant whose people may sign; EVERY_TENANT if the halt concerns more than one tenant."""
        if scope == "tenant":
            return target
        if scope == "run" and (row := await SQL["tenant_of"].row(self._database, run_id=target)):
            return str(row["tenant"])
        return EVERY_TENANT


def _halt(row: Any) -> Halt:
    notice_columns = ("halt_id", "scope", "target", "by", "reason")
    return Halt(
        notice=HaltNotice(**{name: row[name] for name in notice_columns}),
        proof=row["proof"],
        at=row["at"],
        in_flight=tuple(json.loads(row["in_flight"])),
        lifted_at=row["lifted_at"],
        lift_ordered_by=tuple(row.get("lift_ordered_by", ())),
    )
