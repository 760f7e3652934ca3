"""The bodies of `principals add|revoke` and `keys new|add|revoke`."""

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from activities.identity.principals import Key, Principals, Registered
from activities.identity.signatures import decode_public, encode_public
from workers import keys as private_keys
from workers.cli.output import Exit, fail, run, show
from workers.cli.temporal_session import open_session
from workers.services import Home


def add(
    name: str, roles: list[str], tenant: str, slack: str | None, key: str | None, by: str | None, as_json: bool
) -> None:
    """`stanchion principals add`. Without a role, a registered person keeps their roles."""

    async def work() -> tuple[Registered, Key | None]:
        public = decode_public(key) if key else None
        async with _open_principals() as principals:
            person = await principals.add(tenant, name, roles or None, slack, _person_or_user(by))
            if public is None:
                return person, None
            return person, await principals.add_key(public, "person", tenant, name, _person_or_user(by))

    person, registered = run(work())
    row = _person_row(person) | ({"key": registered.key} if registered else {})
    role_names = ", ".join(row["roles"]) or "no role"
    with_key = f" and key {registered.key}" if registered else ""
    text = f"{row['name']} may decide in {_tenant_text(row['tenant'])}, with {role_names}{with_key}"
    show(row, as_json=as_json, text=text)


def revoke(name: str, tenant: str, as_json: bool) -> None:
    """`stanchion principals revoke`."""

    async def work() -> Registered:
        async with _open_principals() as principals:
            return await principals.revoke(tenant, name)

    row = _person_row(run(work()))
    show(row, as_json=as_json, text=f"{row['name']} and their keys are revoked in {_tenant_text(row['tenant'])}")


def new_key(name: str, surface: bool, tenant: str, offline: bool, by: str | None, as_json: bool) -> None:
    """`stanchion keys new`. If the key cannot be registered, its file is removed."""
    home = Home.locate()

    async def work() -> private_keys.Signer:
        if offline:
            return private_keys.create(home, name)
        async with _open_principals() as principals:
            if not surface:
                await principals.known(tenant, name)
            signer = private_keys.create(home, name)
            owner = None if surface else name
            try:
                await principals.add_key(
                    signer.public, "surface" if surface else "person", tenant, owner, _person_or_user(by)
                )
            except BaseException:
                private_keys.path_of(home, name).unlink(missing_ok=True)
                raise
            return signer

    signer = run(work())
    show(
        {
            "key": signer.key_id,
            "public": encode_public(signer.public),
            "file": str(private_keys.path_of(home, name)),
            "registered": not offline,
        },
        as_json=as_json,
    )


def add_key(public: str, name: str | None, surface: bool, tenant: str, by: str | None, as_json: bool) -> None:
    """`stanchion keys add`: registers the public key of a key that was made on another machine."""
    if surface == (name is not None):
        fail("say whose key it is: NAME for a person's, or --surface", Exit.USAGE)

    async def work() -> Key:
        raw = decode_public(public)
        async with _open_principals() as principals:
            return await principals.add_key(raw, "surface" if surface else "person", tenant, name, _person_or_user(by))

    row = _key_row(run(work()))
    show(row, as_json=as_json, text=f"key {row['key']} is registered in {_tenant_text(row['tenant'])}")


def revoke_key(key: str, as_json: bool) -> None:
    """`stanchion keys revoke`."""

    async def work() -> Key:
        async with _open_principals() as principals:
            return await principals.revoke_key(key)

    row = _key_row(run(work()))
    show(row, as_json=as_json, text=f"key {row['key']} is revoked")


@asynccontextmanager
async def _open_principals() -> AsyncIterator[Principals]:
    async with open_session() as session:
        yield Principals(session.database)


def _person_or_user(by: str | None) -> str:
    return by or getpass.getuser()


def _tenant_text(tenant: str) -> str:
    return "every tenant" if tenant == "*" else f"tenant {tenant}"


def _person_row(person: Registered) -> dict[str, Any]:
    principal = person.principal
    return {
        "name": principal.name,
        "tenant": principal.tenant,
        "roles": sorted(principal.roles),
        "slack_user": principal.slack_user,
        "added_by": person.added_by,
        "added_at": person.added_at,
        "revoked_at": person.revoked_at,
    }


def _key_row(key: Key) -> dict[str, Any]:
    return vars(key) | {"public": encode_public(key.public)}
