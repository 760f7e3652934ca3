"""Registers and revokes principals and their public keys in Postgres. Uncached, so a revocation counts at once."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from activities.errors import Permanent
from activities.identity.proof import (
    EVERY_TENANT,
    Claim,
    KeyKind,
    KeyRow,
    Principal,
    PrincipalRow,
    Proven,
    Unproven,
    canonical_name,
    merge_registrations,
    verify_claim,
    why_hidden,
)
from activities.identity.signatures import PUBLIC_BYTES, PublicKeyInvalid, fingerprint
from activities.storage.canonical import clean_text
from activities.storage.database import Database
from activities.storage.queries import Queries

SQL = Queries(__file__, "principals.sql")
NAMELIKE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,320}")  # names that the field `by` of a decision can hold


class PrincipalUnknown(Permanent):
    """No principal of that name is registered; `stanchion principals list` shows who is."""


class PrincipalInvalid(Permanent):
    """A principal's name must be one line of 1 to 320 visible characters, such as lee@acme.example."""


class SlackUserTaken(Permanent):
    """This Slack user belongs to another person; revoke that person, or give another Slack user."""


class KeyUnknown(Permanent):
    """No key with that fingerprint is registered; `stanchion keys list` shows the registered keys."""


class KeyTaken(Permanent):
    """A public key can be registered only once, also after it was revoked; make a new one."""


@dataclass(frozen=True)
class Registered:
    """A principal in one tenant ('*': in every tenant), with who added them, and when they were added and revoked."""

    principal: Principal
    added_by: str
    added_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class Key:
    """A public key with its owner; the key of a surface has no principal."""

    key: str
    public: bytes
    kind: KeyKind
    tenant: str
    principal: str | None
    added_by: str
    added_at: datetime
    revoked_at: datetime | None


class Principals:
    """The registered people and keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, tenant: str, name: str, roles: Iterable[str] | None, slack_user: str | None, by: str
    ) -> Registered:
        """Register a person with exactly these roles. None leaves the roles, or the Slack user, unchanged.

        Raises PrincipalInvalid, SlackUserTaken.
        """
        if not NAMELIKE.fullmatch(canonical_name(name)):
            raise PrincipalInvalid
        if reason := why_hidden(name):
            raise PrincipalInvalid(f"{reason}; type it again")
        try:
            row = await SQL["put_principal"].row(
                self._database,
                tenant=tenant,
                name=canonical_name(name),
                roles=None if roles is None else sorted(set(roles)),
                slack_user=slack_user,
                by=by,
            )
        except asyncpg.UniqueViolationError:
            raise SlackUserTaken(f"Slack user {slack_user} belongs to someone else in tenant {tenant!r}") from None
        return _registered(row)

    async def revoke(self, tenant: str, name: str) -> Registered:
        """Revoke a person and their keys at once. Their approvals of calls that have not begun do not count any more.

        Raises PrincipalUnknown.
        """
        row = await SQL["revoke_principal"].row(self._database, tenant=tenant, name=canonical_name(name))
        if row is None:
            raise PrincipalUnknown(
                f"{canonical_name(name)} is not registered for {tenant!r}; `stanchion principals list` shows who is"
            )
        return _registered(row)

    async def all(self, tenant: str | None = None) -> list[Registered]:
        """All registrations of a tenant and of every tenant, revoked ones too; without a tenant, all there are."""
        return [_registered(row) for row in await SQL["principals"].rows(self._database, tenant=tenant)]

    async def find(self, tenant: str, name: str) -> Principal | None:
        """The person of that name in a tenant; None if they are not registered, or revoked."""
        rows = await SQL["rows_of"].rows(self._database, name=clean_text(canonical_name(name)))
        registrations = map(_registered, rows)
        return merge_registrations(
            tenant, (PrincipalRow(each.principal, each.revoked_at is not None) for each in registrations)
        )

    async def known(self, tenant: str, name: str) -> str:
        """The registered spelling of a name. Raises PrincipalUnknown, with the command that registers the person."""
        if principal := await self.find(tenant, name):
            return principal.name
        canonical = canonical_name(name) or "NAME"
        where = "every tenant" if tenant == EVERY_TENANT else f"tenant {tenant!r}"
        raise PrincipalUnknown(
            f"{canonical} is not registered for {where}, or is revoked;"
            f" `stanchion principals add {canonical} --tenant '{tenant}'` registers them"
        )

    async def by_slack(self, tenant: str, slack_user: str) -> Principal | None:
        """The person to whom a Slack user belongs in a tenant; None if nobody."""
        row = await SQL["of_slack"].row(self._database, tenant=tenant, slack_user=clean_text(slack_user))
        return None if row is None else await self.find(tenant, row["name"])

    async def add_key(self, public: bytes, kind: KeyKind, tenant: str, principal: str | None, by: str) -> Key:
        """Register the public key of a person or, without a principal, of a surface. Safe to repeat.

        Raises PrincipalUnknown, KeyTaken, PublicKeyInvalid.
        """
        if len(public) != PUBLIC_BYTES:
            raise PublicKeyInvalid
        name = await self.known(tenant, principal or "") if kind == "person" else None
        row = await SQL["put_key"].row(
            self._database,
            key=fingerprint(public),
            public_key=public,
            kind=kind,
            tenant=tenant,
            principal=name,
            by=by,
        )
        key = _key(row)
        if key.revoked_at is not None:
            raise KeyTaken(
                f"key {key.key} was revoked, and cannot be registered again; make a new one with `stanchion keys new`"
            )
        if (key.public, key.kind, key.tenant, key.principal) != (public, kind, tenant, name):
            owner = key.principal or "a surface"
            raise KeyTaken(f"key {key.key} is registered already, for {owner} in tenant {key.tenant!r}; make a new one")
        return key

    async def revoke_key(self, key: str) -> Key:
        """Revoke a key for good, and the approvals that it signed for calls that have not begun. Raises KeyUnknown."""
        row = await SQL["revoke_key"].row(self._database, key=key)
        if row is None:
            raise KeyUnknown(f"no key {key!r} is registered; `stanchion keys list` shows the registered keys")
        return _key(row)

    async def keys(self, tenant: str | None = None) -> list[Key]:
        """All keys of a tenant and of every tenant, revoked ones too; without a tenant, all there are."""
        return [_key(row) for row in await SQL["keys"].rows(self._database, tenant=tenant)]

    async def prove(
        self,
        *,
        tenant: str,
        by: str,
        key: str | None,
        signature: str | None,
        statement: Mapping[str, Any],
        at: datetime | None,
        not_before: datetime | None,
        not_after: datetime | None,
    ) -> Proven | Unproven:
        """Verify that `key` belongs to `by` in `tenant` and signed `statement` between `not_before` and `not_after`.

        Callers must go on with `Proven.principal.name`, since `by` may be spelled differently. Raises StoreUnavailable.
        """
        claim = Claim(tenant, by, key, signature, statement, at, not_before, not_after)
        row: Any = await SQL["evidence"].row(
            self._database, key=clean_text(key or ""), name=clean_text(canonical_name(by))
        )
        rows = [_principal_row(item) for item in json.loads(row["principals"])]
        return verify_claim(claim, _key_row(row["key"]), rows, row["now"])


def _registered(row: Any) -> Registered:
    principal = Principal(row["name"], row["tenant"], frozenset(row["roles"]), row["slack_user"])
    return Registered(principal, row["added_by"], row["added_at"], row["revoked_at"])


def _key(row: Any) -> Key:
    columns = dict(row)
    return Key(public=columns.pop("public_key"), **columns)


def _key_row(text: str | None) -> KeyRow | None:
    if text is None:
        return None
    columns = json.loads(text)
    return KeyRow(**columns | {"public": bytes.fromhex(columns["public"])})


def _principal_row(columns: Mapping[str, Any]) -> PrincipalRow:
    principal = Principal(columns["name"], columns["tenant"], frozenset(columns["roles"]), columns["slack_user"])
    return PrincipalRow(principal, columns["revoked"])
