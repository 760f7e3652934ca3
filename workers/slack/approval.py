"""Approval: what a card shows of an approval, read from a row of the query `approval`. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Origin:
    """The origin of one sensitive value of a call."""

    argument: str
    kind: str
    value: str
    origin: str


@dataclass(frozen=True)
class GivenDecision:
    """A decision that a person or an agent has given. `arguments` is the JSON of an edit, else None."""

    by: str
    verdict: str
    reason: str | None
    arguments: str | None
    at: datetime
    proof: str


@dataclass(frozen=True)
class Approval:
    """An approval with its decisions. `showing` names the state that a card shows: if it changes, the card is stale."""

    approval_id: str
    run_id: str
    call_id: str
    about: str
    tool: str
    tier: str | None
    arguments: str  # canonical JSON
    digest: str
    rule: str
    reason: str
    state: str
    requested_at: datetime
    expires_at: datetime | None
    closed_at: datetime | None
    needed: int
    roles: tuple[str, ...]
    approved_by: tuple[str, ...]
    escalates_at: datetime | None
    escalate_roles: tuple[str, ...]
    subject: str | None
    tainted: bool
    repeat_most: int
    confirmed: bool
    escalated: bool
    showing: str
    agent: str
    tenant: str
    requester: str | None
    usd_micros: int
    superseded_by: str | None
    endorsed_by: str | None
    origins: tuple[Origin, ...]
    decisions: tuple[GivenDecision, ...]
    review: str | None = None  # the opinion of the reviewing agent

    @property
    def is_open(self) -> bool:
        """Whether it can still be decided."""
        return self.state == "open"

    @property
    def wants_people(self) -> bool:
        """Whether further people have to approve, apart from the subject."""
        return len(self.approved_by) < self.needed

    @property
    def wants_code(self) -> bool:
        """Whether the subject still has to confirm with a one-time code."""
        return self.subject is not None and not self.confirmed


def approval_from_row(row: Mapping[str, Any]) -> Approval:
    """Build the approval from a row of the query `approval`."""
    columns = dict(row)
    for name in ("roles", "approved_by", "escalate_roles"):
        columns[name] = tuple(columns[name])
    columns["origins"] = tuple(_parse_origin(item) for item in json.loads(columns["origins"]))
    columns["decisions"] = tuple(_parse_decision(item) for item in json.loads(columns["decisions"]))
    return Approval(**columns)


def _parse_origin(item: Mapping[str, Any]) -> Origin:
    value = item.get("value")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Origin(str(item.get("argument")), str(item.get("kind")), text, str(item.get("origin")))


def _parse_decision(item: Mapping[str, Any]) -> GivenDecision:
    return GivenDecision(**{**item, "at": datetime.fromisoformat(item["at"])})
