"""Judging a signed statement: (who, key, signature, what is registered, the time) -> Proven | Unproven. Pure.

Every control that is missing, unknown or odd is a no, with a reason that says what to do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from activities.identity.signatures import verify
from activities.identity.statements import in_utc, instant
from activities.policy.values.canonical_names import fold_text, show_hidden_characters

EVERY_TENANT = "*"
SKEW = timedelta(minutes=2)  # how far clocks of people's machines are believed to be off; NTP keeps them far closer

KeyKind = Literal["person", "surface"]


@dataclass(frozen=True)
class Principal:
    """A person we know, as one tenant sees them."""

    name: str
    tenant: str
    roles: frozenset[str]
    slack_user: str | None = None


@dataclass(frozen=True)
class Proven:
    """The statement is that person's: signed by their own key, or by a surface that authenticated them."""

    principal: Principal
    kind: KeyKind


@dataclass(frozen=True)
class Unproven:
    """The statement is nobody's; `reason` says what to do."""

    reason: str


@dataclass(frozen=True)
class KeyRow:
    """A registered public key. A person's has a principal, a surface's has none."""

    public: bytes
    kind: KeyKind
    tenant: str
    principal: str | None
    revoked: bool


@dataclass(frozen=True)
class PrincipalRow:
    """A registration in one tenant, or in every tenant."""

    principal: Principal
    revoked: bool


@dataclass(frozen=True)
class Claim:
    """What is claimed: that `by` said `statement` at `at`, in `tenant`, between these two moments."""

    tenant: str
    by: str
    key: str | None
    signature: str | None
    statement: Mapping[str, Any]
    at: datetime | None
    not_before: datetime | None = None
    not_after: datetime | None = None


def canonical_name(name: str) -> str:
    """A name as it is compared and stored: one spelling of its characters, in lower case, no blanks around it."""
    return fold_text(name).strip()


def why_hidden(name: str) -> str | None:
    """Why nobody may go by this name: something in it does not show, so it would pass for another one."""
    hidden = next((char for char in name.strip() if show_hidden_characters(char) != char), None)
    return None if hidden is None else f"a name contains the character U+{ord(hidden):04X}, which does not show"


def covers(tenant: str, wanted: str) -> bool:
    """Whether what is registered for `tenant` holds in the tenant `wanted`."""
    return tenant in (wanted, EVERY_TENANT)


def merge_registrations(tenant: str, rows: Iterable[PrincipalRow]) -> Principal | None:
    """The person that these registrations of one name make in a tenant: the roles of all, revoked as soon as one is."""
    held = [row for row in rows if covers(row.principal.tenant, tenant)]
    if not held or any(row.revoked for row in held):
        return None
    own_first = sorted((row.principal for row in held), key=lambda principal: principal.tenant == EVERY_TENANT)
    roles = frozenset[str]().union(*(principal.roles for principal in own_first))
    slack_user = next((principal.slack_user for principal in own_first if principal.slack_user), None)
    return Principal(own_first[0].name, own_first[0].tenant, roles, slack_user)


def verify_claim(claim: Claim, key: KeyRow | None, rows: Sequence[PrincipalRow], now: datetime) -> Proven | Unproven:
    """Whether the claim is proved by what is registered."""
    if not claim.key or not claim.signature:
        return Unproven(
            "it is not signed: decide in Slack or the console, or make a key with `stanchion keys new NAME`"
        )
    if key is None:
        return Unproven(
            f"key {claim.key!r} is not registered; `stanchion keys list` shows those that are,"
            " `stanchion keys new NAME` makes one"
        )
    if reason := _why_not_this_key(claim, key) or _why_not_this_statement(claim, key):
        return Unproven(reason)
    principal = merge_registrations(claim.tenant, rows)
    if principal is None:
        return Unproven(_why_not_this_person(claim, rows))
    if reason := _why_not_then(claim, now):
        return Unproven(reason)
    return Proven(principal, key.kind)


def _why_not_this_key(claim: Claim, key: KeyRow) -> str | None:
    if key.revoked:
        return f"key {claim.key!r} is revoked; make a new one with `stanchion keys new NAME`, and sign again"
    if not covers(key.tenant, claim.tenant):
        return f"key {claim.key!r} is of another tenant; sign with one that is registered for {claim.tenant!r}"
    if key.kind == "person" and key.principal != canonical_name(claim.by):
        return (
            f"key {claim.key!r} belongs to {key.principal}, who signs for nobody else;"
            f" {claim.by!r} has to sign with a key of their own"
        )
    return None


def _why_not_this_statement(claim: Claim, key: KeyRow) -> str | None:
    said = {"by": claim.by, "key": claim.key, "at": instant(claim.at)}
    if any(claim.statement.get(name) != value for name, value in said.items()):
        return "what was signed names another person, key or time than what was sent; sign what is sent"
    if not verify(key.public, claim.statement, claim.signature or ""):
        return "the signature does not fit: something was changed after it was signed; look at it again, and sign anew"
    return None


def _why_not_this_person(claim: Claim, rows: Sequence[PrincipalRow]) -> str:
    name, tenant = canonical_name(claim.by), claim.tenant
    add = f"`stanchion principals add {name} --tenant {tenant}`"
    if any(row.revoked and covers(row.principal.tenant, tenant) for row in rows):
        return f"{name} is revoked; someone else has to answer, or {add} takes them back"
    if rows:
        return f"{name} is registered for another tenant, not for {tenant!r}; {add} adds them"
    return f"{name} is not registered; {add} adds them"


def _why_not_then(claim: Claim, now: datetime) -> str | None:
    if claim.at is None:
        return "it does not say when it was signed; sign again, with `at`"
    at = in_utc(claim.at)
    if claim.not_before is not None and at < claim.not_before - SKEW:
        return "it was signed before it was asked: a replay; look at what is asked now, and sign that"
    if at > now + SKEW:
        return "it was signed in the future; set the clock of the machine that signs, and sign again"
    if claim.not_after is not None and at > claim.not_after:
        return "it was signed after the time to answer was over; let the agent ask again"
    return None
