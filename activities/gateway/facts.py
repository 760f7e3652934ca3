"""CallFacts: all that our own tables say about one call. The gateway decides from this and from nothing else."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from activities.errors import Permanent
from activities.gateway.digest import binding_digest
from activities.model.last_steps import PlannedSteps
from activities.storage.canonical import sha256_hex
from activities.storage.database import Database
from activities.storage.queries import Queries
from workflows.contracts.calls import CallResult
from workflows.contracts.halts import HaltNotice
from workflows.contracts.runs import Mode

SQL = Queries(__file__, "gateway.sql")
RULES = "tiers/2"  # the rules of activities/policy; part of every digest that an approval is bound to
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
    frozen_policy: str  # digest of mode and budgets, as the run was opened
    status: str
    tainted_by: str | None  # untrusted data that the run was given before its first step
    heads: list[str]  # versions of the policies in force: the platform's, then the tenant's
    endorsed: list[str]  # values that people restated
    budget: str  # of the run, as JSON
    caps: str | None  # rows of the operator's and the tenant's caps, as JSON
    response_seq: int  # of the model's response: it had read the transcript below, and nothing else
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
    approved_arguments: str | None  # what the approval showed
    approved_by: list[str]
    needed: int | None  # people
    roles: list[str] | None  # one of these was needed to decide
    subject: str | None  # who has to confirm with a one-time code
    code_sent: bool | None
    approval_state: str | None
    expires_at: datetime | None
    expired: bool | None
    reviewer: str | None
    decided_by: str | None
    decision_reason: str | None
    edited: str | None  # what an approver of the call put in place of its arguments
    halt: str | None  # the halt in force that counts first for it, as JSON
    private_by: str | None = None  # private data that the run was given, other than by its own tools
    lineage: Sequence[str] | None = ()  # the runs above it, the first one first
    agents_above: Sequence[str] | None = ()  # their agents
    versions_above: Sequence[str] | None = ()  # and the versions of these
    run_digest: str | None = None  # over the facts of its run: those of the view run_facts

    @property
    def halted(self) -> HaltNotice | None:
        """The halt that stands against this call, if one does. The claim looks again."""
        return HaltNotice.model_validate_json(self.halt) if self.halt else None

    @property
    def stored_result(self) -> CallResult | None:
        """What was answered before, if this call is done."""
        return RESULT.validate_json(self.result) if self.result else None

    @property
    def effective_arguments(self) -> str:
        """The arguments to use: an approver's, if the approval was given with an edit."""
        return self.edited or self.arguments

    @property
    def typed_by_approver(self) -> tuple[str, ...]:
        """The values that stand in an approver's edit and did not stand in the call: a person's own words."""
        if self.edited is None:
            return ()
        before = set(scalars(json.loads(self.arguments)))
        return tuple(value for value in scalars(json.loads(self.edited)) if value not in before)

    def policy_version(self) -> str:
        """One digest for all that this run is judged by: what was frozen at its start, and the policies of now."""
        return sha256_hex([RULES, self.frozen_policy, self.agent_version, self.heads])[:16]

    def binding(
        self, pinned_hash: str, expires_at: datetime | None, taint: str = "", arguments: str | None = None
    ) -> str:
        """The digest an approval of exactly this call has. `taint`: digest of what its values were traced to."""
        return binding_digest(
            tenant=self.tenant,
            run_id=self.run_id,
            call_id=self.call_id,
            tool=self.tool,
            pinned_hash=pinned_hash,
            arguments=arguments or self.effective_arguments,
            policy_version=self.policy_version(),
            taint=taint,
            expires_at=expires_at,
        )


def scalars(value: Any) -> Iterator[str]:
    """Every string and number in a JSON value, as text."""
    if isinstance(value, dict):
        for item in value.values():
            yield from scalars(item)
    elif isinstance(value, list):
        for item in value:
            yield from scalars(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def known_facts(steps: PlannedSteps, run_id: str, call_id: str) -> CallFacts | None:
    """The facts of a call that this worker planned, as they were then; each call once. The claim refuses old ones."""
    taken = steps.take(run_id, call_id)
    if taken is None:
        return None
    step, call = taken
    nothing: dict[str, Any] = dict.fromkeys(CallFacts.__dataclass_fields__)
    known = vars(step.run) | vars(call) | {"response_seq": step.response_seq, "status": "open", "approved_by": []}
    return CallFacts(**nothing | known | {"run_id": run_id, "call_id": call_id})


async def load(database: Database, run_id: str, call_id: str) -> CallFacts:
    """The facts of one call. Raises CallNotPlanned, StoreUnavailable."""
    row = await SQL["load"].row(database, run_id=run_id, call_id=call_id)
    if row is None:
        raise CallNotPlanned(f"no model asked for call {call_id} of {run_id}")
    return CallFacts(run_id=run_id, call_id=call_id, **row)
