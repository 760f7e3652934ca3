"""Who says so: the one place where a decision or a message becomes somebody's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from activities.identity.principals import Principals
from activities.identity.proof import Proven, Unproven, canonical_name, why_hidden
from activities.storage.database import Database

UNSIGNED = "it is not signed, and this worker takes no unsigned ones"


@dataclass(frozen=True)
class Identified:
    """Somebody, with their roles. `proof` says how we know; unsigned ones count in development only."""

    name: str
    roles: frozenset[str]
    proof: Literal["signature", "unsigned"]


class Authority:
    """Identifies people. Unsigned words count only where the worker was told, by that ugly name, to take them."""

    def __init__(self, database: Database, *, dangerously_accept_unsigned_decisions: bool = False) -> None:
        self._principals = Principals(database)
        self._accept_unsigned = dangerously_accept_unsigned_decisions

    async def identify(
        self,
        *,
        tenant: str,
        by: str | None,
        key: str | None,
        signature: str | None,
        statement: Mapping[str, Any],
        at: datetime | None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Identified | Unproven:
        """Who said `statement`, if that is proved. Raises StoreUnavailable."""
        if hidden := why_hidden(by or ""):
            return Unproven(f"{hidden}; give the name as it is registered")
        if key is None and signature is None:
            return await self._unsigned(tenant, by)
        proof = await self._principals.prove(
            tenant=tenant,
            by=by or "",
            key=key,
            signature=signature,
            statement=statement,
            at=at,
            not_before=not_before,
            not_after=not_after,
        )
        match proof:
            case Proven(principal=principal):
                return Identified(principal.name, principal.roles, "signature")
            case Unproven():
                return proof

    async def _unsigned(self, tenant: str, by: str | None) -> Identified | Unproven:
        if not self._accept_unsigned:
            return Unproven(UNSIGNED)
        name = canonical_name(by or "")
        known = await self._principals.find(tenant, name) if name else None
        if known is None and any(held.principal.name == name for held in await self._principals.all(tenant)):
            return Unproven(f"{name} is revoked; someone else has to answer")
        return Identified(name, known.roles if known else frozenset(), "unsigned")
