"""Identifies the person who gave a decision, a message or an order, from its signature."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from activities.identity.principals import Principals
from activities.identity.proof import Proven, Unproven, canonical_name, why_hidden
from activities.storage.database import Database

UNSIGNED = "it is not signed, and this worker accepts signed decisions only"


@dataclass(frozen=True)
class Identified:
    """A person and their roles. `proof` says how they were identified; unsigned ones count in development only."""

    name: str
    roles: frozenset[str]
    proof: Literal["signature", "unsigned"]


class Authority:
    """Identifies people. It accepts unsigned decisions only with `dangerously_accept_unsigned_decisions`."""

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
        """The person who signed `statement`, or why nobody is proved to have. Raises StoreUnavailable."""
        if hidden := why_hidden(by or ""):
            return Unproven(f"{hidden}; enter the name as it is registered")
        if key is None and signature is None:
            return await self._identify_unsigned(tenant, by)
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

    async def _identify_unsigned(self, tenant: str, by: str | None) -> Identified | Unproven:
        if not self._accept_unsigned:
            return Unproven(UNSIGNED)
        name = canonical_name(by or "")
        principal = await self._principals.find(tenant, name) if name else None
        if principal is None and name in {each.principal.name for each in await self._principals.all(tenant)}:
            return Unproven(f"{name} is revoked; someone else has to answer")
        return Identified(name, principal.roles if principal else frozenset(), "unsigned")
