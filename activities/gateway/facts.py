"""CallFacts: all that our own tables say about one call. The gateway decides from this and from nothing else."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from activities.errors import Permanent
from activities.gateway.digest import binding_digest
from activities.storage.database import Database
from activities.storage.queries import Queries
from workflows.contracts.calls import CallResult
from workflows.contracts.runs import Mode

SQL = Queries(__file__, "gateway.sql")
RESULT: TypeAdapter[CallResult] = TypeAdapter(CallResult)


class CallNotPlanned(Permanent):
    """No model asked for this call; the gateway performs only what a stored plan holds."""


@dataclass(frozen=True)
class CallFacts:
    """One planned call, its run, its effect so far, its latest approval and the decision about that."""

    run_id: str
    call_id: str
    agent: str
    agent_version: str
    tenant: str
    requester: str | None
    mode: Mode
    policy_version: str
    status: str
    step: int
    seq: int
    tool: str
    arguments: str  # canonical JSON
    digest: str
    invalid: str | None
    state: str | None  # of the effect; None before it was claimed
    fence: int | None
    contract: str | None
    wait_until: datetime | None
    result: str | None
    approval_id: str | None
    about: str | None
    approved_digest: str | None
    approval_state: str | None
    expires_at: datetime | None
    expired: bool | None
    decided_by: str | None
    decision_reason: str | None
    edited: str | None  # what an approver of the call put in place of its arguments

    @property
    def stored_result(self) -> CallResult | None:
        """What was answered before, if this call is done."""
        return RESULT.validate_json(self.result) if self.result else None

    @property
    def effective_arguments(self) -> str:
        """The arguments to use: an approver's, if the approval was given with an edit."""
        return self.edited or self.arguments

    def binding(self, pinned_hash: str, expires_at: datetime | None) -> str:
        """The digest an approval of exactly this call has."""
        return binding_digest(
            tenant=self.tenant,
            run_id=self.run_id,
            call_id=self.call_id,
            tool=self.tool,
            pinned_hash=pinned_hash,
            arguments=self.arguments,
            policy_version=self.policy_version,
            expires_at=expires_at,
        )


async def load(database: Database, run_id: str, call_id: str) -> CallFacts:
    """The facts of one call. Raises CallNotPlanned, StoreUnavailable."""
    row = await SQL["load"].row(database, run_id=run_id, call_id=call_id)
    if row is None:
        raise CallNotPlanned(f"no model asked for call {call_id} of {run_id}")
    return CallFacts(run_id=run_id, call_id=call_id, **row)
