"""CallFacts: everything that Postgres holds about one call, from which the gateway decides."""

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
RULES = "tiers/2"  # version of the rules in activities/policy; part of the digest that binds an approval
RESULT: TypeAdapter[CallResult] = TypeAdapter(CallResult)


class CallNotPlanned(Permanent):
    """No model asked for this call; the gateway performs only calls of a stored plan."""


@dataclass(frozen=True)
class CallFacts:
    """One planned call, its run, its effect so far, its latest approval and the decision on that approval."""

    run_id: str
    call_id: str
    agent: str
    agent_version: str
    tenant: str
    requester: str | None
    mode: Mode
    frozen_policy: str  # digest of the mode and the budgets at the time the run was opened
    status: str
    tainted_by: str | None  # untrusted data that the run was given before its first step
    heads: list[str]  # versions of the policies in force: the platform's, then the tenant's
    endorsed: list[str]  # values that people restated
    budget: str  # the run's budget, as JSON
    caps: str | None  # the operator's and the tenant's rows of the table `caps`, as JSON
    response_seq: int  # sequence number of the model's response; the model had read only the rows before it
    step: int
    seq: int
    tool: str
    arguments: str  # canonical JSON
    digest: str
    invalid: str | None
    state: str | None  # state of the effect; None before it is claimed
    fence: int | None
    contract: str | None
    wait_until: datetime | None
    result: str | None
    approval_id: str | None
    about: str | None
    approved_digest: str | None
    approved_arguments: str | None  # the arguments that the approval showed
    approved_by: list[str]
    needed: int | None  # how many people must approve
    roles: list[str] | None  # an approver must have one of these roles
    subject: str | None  # the person who must confirm the call with a one-time code
    code_sent: bool | None
    approval_state: str | None
    expires_at: datetime | None
    expired: bool | None
    reviewer: str | None
    decided_by: str | None
    decision_reason: str | None
    edited: str | None  # the arguments as an approver edited them
    halt: str | None  # the halt in force that covers the call, as JSON; the first one, if several do
    private_by: str | None = None  # source of private data that the run got other than from its own tools
    lineage: Sequence[str] | None = ()  # ids of the ancestor runs, the topmost first
    agents_above: Sequence[str] | None = ()  # the agents of the ancestor runs
    versions_above: Sequence[str] | None = ()  # the versions of those agents
    run_digest: str | None = None  # digest of the run's row in the view run_facts

    @property
    def halted(self) -> HaltNotice | None:
        """The halt that covers this call, or None. The claim checks for halts again."""
        return HaltNotice.model_validate_json(self.halt) if self.halt else None

    @property
    def stored_result(self) -> CallResult | None:
        """The stored result of this call, or None."""
        return RESULT.validate_json(self.result) if self.result else None

    @property
    def effective_arguments(self) -> str:
        """The arguments to perform the call with: the approver's edit, or else the model's arguments."""
        return self.edited or self.arguments

    @property
    def typed_by_approver(self) -> tuple[str, ...]:
        """The values that an approver's edit added; they count as that person's own words."""
        if self.edited is None:
            return ()
        before = set(scalars(json.loads(self.arguments)))
        return tuple(value for value in scalars(json.loads(self.edited)) if value not in before)

    def policy_version(self) -> str:
        """Digest of what calls of this run are evaluated by: what was frozen at its start, and the current policies."""
        return sha256_hex([RULES, self.frozen_policy, self.agent_version, self.heads])[:16]

    def binding(
        self, pinned_hash: str, expires_at: datetime | None, taint: str = "", arguments: str | None = None
    ) -> str:
        """The digest that an approval of exactly this call must have. `taint`: digest of the origins of its values."""
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
    """The facts of a call that this worker planned, as they were at planning; None if it did not, or asked twice.

    The facts may be out of date; the claim then fails.
    """
    taken = steps.take(run_id, call_id)
    if taken is None:
        return None
    step, call = taken
    all_none: dict[str, Any] = dict.fromkeys(CallFacts.__dataclass_fields__)
    known = vars(step.run) | vars(call) | {"response_seq": step.response_seq, "status": "open", "approved_by": []}
    return CallFacts(**all_none | known | {"run_id": run_id, "call_id": call_id})


async def load(database: Database, run_id: str, call_id: str) -> CallFacts:
    """Load the facts of one call. Raises CallNotPlanned, StoreUnavailable."""
    row = await SQL["load"].row(database, run_id=run_id, call_id=call_id)
    if row is None:
        raise CallNotPlanned(f"no model asked for call {call_id} of {run_id}")
    return CallFacts(run_id=run_id, call_id=call_id, **row)
