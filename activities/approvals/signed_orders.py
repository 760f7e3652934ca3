"""`Order`: the base class of signed orders, with who gave them and how that is proved.

Each subclass defines its signed fields, and whether an unproved order counts: a halt counts and is stored as unsigned,
a lift or a grant is refused.
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
    """An order by a person. `key`, `at` and `signature` prove who gave it."""

    by: str = Field(min_length=1, max_length=320, pattern=NAME)
    key: str | None = None
    at: datetime | None = None
    signature: str | None = None

    @abstractmethod
    def signed_fields(self) -> Mapping[str, Any]:
        """The order's kind and every field that defines it, so that its signature fits no other order."""

    def statement(self) -> Mapping[str, Any]:
        """The JSON object that is signed."""
        return {**self.signed_fields(), "by": self.by, "at": instant(self.at), "key": self.key}

    async def identify_author(
        self, authority: Authority, tenant: str, since: datetime | None = None
    ) -> Identified | Unproven:
        """The person who gave the order, or why that is unproved. It must be signed after `since`.

        Raises StoreUnavailable.
        """
        return await authority.identify(
            tenant=tenant,
            by=self.by,
            key=self.key,
            signature=self.signature,
            statement=self.statement(),
            at=self.at,
            not_before=since,
        )

    async def find_signer(self, authority: Authority, tenant: str) -> Identified | None:
        """The person who signed the order; None if it counts as unsigned. Raises StoreUnavailable."""
        if self.key is None or self.signature is None:
            return None
        author = await self.identify_author(authority, tenant)
        return author if isinstance(author, Identified) else None

    def proof_columns(self, author: Identified | None) -> dict[str, Any]:
        """The columns that store how the order's author was proved."""
        if author is None or author.proof != "signature":
            return {"proof": "unsigned", "key": None, "signature": None, "statement": None}
        statement = canonical_json(dict(self.statement()))
        return {"proof": "signature", "key": self.key, "signature": self.signature, "statement": statement}
