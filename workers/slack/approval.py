"""An approval as a card shows it. Pure: read once from a row, never changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Origin:
    """Where one sensitive value of a call came from."""

    argument: str
    kind: str
    value: str
    origin: str


@dataclass(frozen=True)
class Given:
    """An answer that was given. `arguments` is JSON, of an edit."""

    by: str
    verdict: str
    reason: str | None
    arguments: str | None
    at: datetime
    proof: str


@dataclass(frozen=True)
class Approval:
    """What people are asked. `showing` names what a card of it shows: once it changes, the card is out of date."""

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
    decisions: tuple[Given, ...]
    review: str | None = None  # what the agent said that was asked beside people

    @property
    def is_open(self) -> bool:
        """Whether it still takes an answer."""
        return self.state == "open"

    @property
    def wants_people(self) -> bool:
        """Whether someone besides the subject has to approve."""
        return len(self.approved_by) < self.needed

    @property
    def wants_code(self) -> bool:
        """Whether the subject still has to confirm with a one-time code."""
        return self.subject is not None and not self.confirmed


def approval_of(row: Mapping[str, Any]) -> Approval:
    """The approval of a row of the query `approval`."""
    columns = dict(row)
    for name in ("roles", "approved_by", "escalate_roles"):
        columns[name] = tuple(columns[name])
    columns["origins"] = tuple(_origin(item) for item in json.loads(columns["origins"]))
    columns["decisions"] = tuple(_given(item) for item in json.loads(columns["decisions"]))
    return Approval(**columns)


def _origin(item: Mapping[str, Any]) -> Origin:
    value = item.get("value")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Origin(str(item.get("argument")), str(item.get("kind")), text, str(item.get("origin")))


def _given(item: Mapping[str, Any]) -> Given:
    return Given(**{**item, "at": datetime.fromisoformat(item["at"])})
