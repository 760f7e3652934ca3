"""People with keys, and what they say, signed: for tests of who is believed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.identity.principals import Principals
from activities.identity.proof import Proven, Unproven
from activities.identity.signatures import new_key, sign
from activities.identity.statements import decision_statement
from workers.keys import Signer
from workflows.contracts.approvals import Decision

LEE, MO = "lee@acme.example", "mo@acme.example"
MINUTE = timedelta(minutes=1)


@dataclass
class Scene:
    """Tenant acme with Lee and Mo, a key of Lee's and a surface's."""

    principals: Principals
    lee: Signer = field(default_factory=lambda: Signer.of(new_key()))
    surface: Signer = field(default_factory=lambda: Signer.of(new_key()))

    async def settle(self) -> "Scene":
        """Register them."""
        await self.principals.add("acme", LEE, ["it"], "U1", "root")
        await self.principals.add("acme", MO, ["security"], None, "root")
        await self.principals.add_key(self.lee.public, "person", "acme", LEE, "root")
        await self.principals.add_key(self.surface.public, "surface", "acme", None, "root")
        return self

    async def prove(self, decision: Decision, **changes: Any) -> Proven | Unproven:
        """Whether that decision is proved, about a question that was asked a minute ago and stands for ten."""
        now = datetime.now(UTC)
        asked: dict[str, Any] = {
            "tenant": "acme",
            "by": decision.by,
            "key": decision.key,
            "signature": decision.signature,
            "statement": decision_statement(decision),
            "at": decision.at,
            "not_before": now - MINUTE,
            "not_after": now + 10 * MINUTE,
        }
        return await self.principals.prove(**asked | changes)


def approve(by: str = LEE, **fields: Any) -> Decision:
    """An approval, not signed yet."""
    return Decision(approval_id="ap-1", verdict="approve", by=by, digest="d1", **fields)


def dated(signer: Signer, decision: Decision, at: datetime | None) -> Decision:
    """The decision signed as if it were `at`."""
    said = decision.model_copy(update={"key": signer.key_id, "at": at})
    return said.model_copy(update={"signature": sign(signer.private, decision_statement(said))})


def refused(answer: Proven | Unproven) -> str:
    """The reason of a refusal."""
    assert isinstance(answer, Unproven), answer
    return answer.reason
