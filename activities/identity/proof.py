"""Verifies signed claims: (claim, registered key and names, time) -> `Proven` or `Unproven`. Pure.

If a part is missing, unknown or malformed, the claim is unproven, with a reason that says what to do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from activities.identity.signatures import verify
from activities.identity.statements import in_utc, instant
from activities.policy.values.canonical_names import fold_text
from workflows.visible import show_hidden_characters

EVERY_TENANT = "*"
SKEW = timedelta(minutes=2)  # tolerated error of the signer's clock; NTP keeps it far smaller

KeyKind = Literal["person", "surface"]


@dataclass(frozen=True)
class Principal:
    """A registered person, with their roles in one tenant."""

    name: str
    tenant: str
    roles: frozenset[str]
    slack_user: str | None = None


@dataclass(frozen=True)
class Proven:
    """The person made the statement: their own key, or the key of a surface that authenticated them, signed it."""

    principal: Principal
    kind: KeyKind


@dataclass(frozen=True)
class Unproven:
    """Nobody is proved to have made the statement; `reason` says what to do."""

    reason: str


@dataclass(frozen=True)
class KeyRow:
    """A registered public key. A person's key has a principal, a surface's key has none."""

    public: bytes
    kind: KeyKind
    tenant: str
    principal: str | None
    revoked: bool


@dataclass(frozen=True)
class PrincipalRow:
    """One registration of a person: in one tenant, or in every tenant."""

    principal: Principal
    revoked: bool


@dataclass(frozen=True)
class Claim:
    """The claim that `by` made `statement` in `tenant` at the time `at`, between `not_before` and `not_after`."""

    tenant: str
    by: str
    key: str | None
    signature: str | None
    statement: Mapping[str, Any]
    at: datetime | None
    not_before: datetime | None = None
    not_after: datetime | None = None


def canonical_name(name: str) -> str:
    """The form in which names are compared and stored: normalized Unicode, lower case, no blanks around it."""
    return fold_text(name).strip()


def why_hidden(name: str) -> str | None:
    """Why this name is refused: it contains an invisible character, so that it looks like another name; else None."""
    hidden = next((char for char in name.strip() if show_hidden_characters(char) != char), None)
    return None if hidden is None else f"a name contains the character U+{ord(hidden):04X}, which does not show"


def covers(tenant: str, wanted: str) -> bool:
    """Whether a registration for `tenant` counts in the tenant `wanted`."""
    return tenant in (wanted, EVERY_TENANT)


def merge_registrations(tenant: str, rows: Iterable[PrincipalRow]) -> Principal | None:
    """One person from all registrations of a name that count in `tenant`, with the roles of all of them.

    None if there is no such registration, or if one of them is revoked.
    """
    registrations = [row for row in rows if covers(row.principal.tenant, tenant)]
    if not registrations or any(row.revoked for row in registrations):
        return None
    own_first = sorted((row.principal for row in registrations), key=lambda principal: principal.tenant == EVERY_TENANT)
    roles = frozenset[str]().union(*(principal.roles for principal in own_first))
    slack_user = next((principal.slack_user for principal in own_first if principal.slack_user), None)
    return Principal(own_first[0].name, own_first[0].tenant, roles, slack_user)


def verify_claim(claim: Claim, key: KeyRow | None, rows: Sequence[PrincipalRow], now: datetime) -> Proven | Unproven:
    """Verify a claim with the registered key and the registrations of the claimed name."""
    if not claim.key or not claim.signature:
        return Unproven(
            "it is not signed: decide in Slack or the console, or make a key with `stanchion keys new NAME`"
        )
    if key is None:
        return Unproven(
            f"key {claim.key!r} is not registered; `stanchion keys list` shows those that are,"
            " `stanchion keys new NAME` makes one"
        )
    if reason := _key_flaw(claim, key) or _signature_flaw(claim, key):
        return Unproven(reason)
    principal = merge_registrations(claim.tenant, rows)
    if principal is None:
        return Unproven(_explain_no_principal(claim, rows))
    if reason := _time_flaw(claim, now):
        return Unproven(reason)
    return Proven(principal, key.kind)


def _key_flaw(claim: Claim, key: KeyRow) -> str | None:
    if key.revoked:
        return f"key {claim.key!r} is revoked; make a new one with `stanchion keys new NAME`, and sign again"
    if not covers(key.tenant, claim.tenant):
        return f"key {claim.key!r} is of another tenant; sign with a key that is registered for {claim.tenant!r}"
    if key.kind == "person" and key.principal != canonical_name(claim.by):
        return (
            f"key {claim.key!r} belongs to {key.principal}, who signs for nobody else;"
            f" {claim.by!r} has to sign with a key of their own"
        )
    return None


def _signature_flaw(claim: Claim, key: KeyRow) -> str | None:
    sent = {"by": claim.by, "key": claim.key, "at": instant(claim.at)}
    if any(claim.statement.get(name) != value for name, value in sent.items()):
        return "the signed statement names another person, key or time than the request; sign what you send"
    if not verify(key.public, claim.statement, claim.signature or ""):
        return "the signature does not fit: something was changed after it was signed; look at it again, and sign again"
    return None


def _explain_no_principal(claim: Claim, rows: Sequence[PrincipalRow]) -> str:
    name, tenant = canonical_name(claim.by), claim.tenant
    add = f"`stanchion principals add {name} --tenant {tenant}`"
    if any(row.revoked and covers(row.principal.tenant, tenant) for row in rows):
        return f"{name} is revoked; someone else has to answer, or {add} registers them again"
    if rows:
        return f"{name} is registered for another tenant, not for {tenant!r}; {add} adds them"
    return f"{name} is not registered; {add} adds them"


def _time_flaw(claim: Claim, now: datetime) -> str | None:
    if claim.at is None:
        return "it does not say when it was signed; sign again, with `at`"
    at = in_utc(claim.at)
    if claim.not_before is not None and at < claim.not_before - SKEW:
        return "it was signed before it was asked: a replay; look at the current question, and sign your answer to that"
    if at > now + SKEW:
        return "it was signed in the future; set the clock of the signing machine, and sign again"
    if claim.not_after is not None and at > claim.not_after:
        return "it was signed after the time to answer was over; let the agent ask again"
    return None
