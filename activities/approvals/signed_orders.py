"""What orders have in common: who gives one, how that is proved, and what is kept of the proof.

A kind of order says what is signed of it. Whether one that is not proved counts is its own business: a halt does, and
is marked; a lift or a grant does not.
"""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from activities.approvals.authority import Authority, Identified
from activities.identity.proof import Unproven
from activities.identity.statements import instant
from activities.storage.canonical import canonical_json
from workflows.contracts.base import NAME, Frozen


class Order(Frozen):
    """Somebody orders something. `key`, `at` and `signature` prove who."""

    by: str = Field(min_length=1, max_length=320, pattern=NAME)
    key: str | None = None
    at: datetime | None = None
    signature: str | None = None

    @abstractmethod
    def said(self) -> Mapping[str, Any]:
        """What it says: its kind, and everything that gives it its meaning, so that it fits nothing else."""

    def statement(self) -> Mapping[str, Any]:
        """What is signed of it."""
        return {**self.said(), "by": self.by, "at": instant(self.at), "key": self.key}

    async def giver(self, authority: Authority, tenant: str, since: datetime | None = None) -> Identified | Unproven:
        """Who gives it, if that is proved; `since`: when there first was anything to order. Raises StoreUnavailable."""
        return await authority.identify(
            tenant=tenant,
            by=self.by,
            key=self.key,
            signature=self.signature,
            statement=self.statement(),
            at=self.at,
            not_before=since,
        )

    async def signer(self, authority: Authority, tenant: str) -> Identified | None:
        """Who signed it; None if nobody did who is known, so that it counts as unsigned. Raises StoreUnavailable."""
        if self.key is None or self.signature is None:
            return None
        who = await self.giver(authority, tenant)
        return who if isinstance(who, Identified) else None

    def proof(self, who: Identified | None) -> dict[str, Any]:
        """The columns that say how we know who gave it."""
        if who is None or who.proof != "signature":
            return {"proof": "unsigned", "key": None, "signature": None, "statement": None}
        statement = canonical_json(dict(self.statement()))
        return {"proof": "signature", "key": self.key, "signature": self.signature, "statement": statement}
