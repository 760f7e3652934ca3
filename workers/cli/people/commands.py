"""Declares `stanchion principals` and `stanchion keys`. Their bodies are imported when a command runs."""

from typing import Annotated

import typer

from workers.cli.options import Json

commands = typer.Typer()
principals = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="People who may decide, and their roles.")
commands.add_typer(principals, name="principals")
keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Keys that sign decisions.")
commands.add_typer(keys, name="keys")


Tenant = Annotated[str, typer.Option("--tenant", help="The tenant; '*' means all tenants.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Only those that count for this tenant.")]
Surface = Annotated[
    bool, typer.Option("--surface", help="The key of a program that signs for people whom it authenticates.")
]
AddedBy = Annotated[str | None, typer.Option("--by", help="Who registers it; default: your user name.")]


@principals.command("add")
def principals_add(
    name: Annotated[str, typer.Argument(help="The person, such as lee@acme.example.")],
    role: Annotated[list[str] | None, typer.Option("--role", help="A role; may be given several times.")] = None,
    tenant: Tenant = "default",
    slack: Annotated[str | None, typer.Option("--slack", help="The person's Slack user id.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Their public key, as `keys new` printed it.")] = None,
    by: AddedBy = None,
    json: Json = False,
) -> None:
    """Register a person who may decide, or change their roles."""
    from workers.cli.people import principals as body

    body.add(name, role or [], tenant, slack, key, by, json)


@principals.command("list")
def principals_list(tenant: OfTenant = None, json: Json = False) -> None:
    """List the registered people."""
    from workers.cli import registries

    registries.principals(tenant, json)


@principals.command("revoke")
def principals_revoke(name: str, tenant: Tenant = "default", json: Json = False) -> None:
    """Revoke a person and their keys, at once."""
    from workers.cli.people import principals as body

    body.revoke(name, tenant, json)


@keys.command("new")
def keys_new(
    name: Annotated[str, typer.Argument(help="The owner: a registered person, or a surface's name.")],
    surface: Surface = False,
    tenant: Tenant = "default",
    offline: Annotated[bool, typer.Option("--offline", help="Do not register it; use `keys add` later.")] = False,
    by: AddedBy = None,
    json: Json = False,
) -> None:
    """Make a key on this machine and register its public key."""
    from workers.cli.people import principals as body

    body.new_key(name, surface, tenant, offline, by, json)


@keys.command("add")
def keys_add(
    public: Annotated[str, typer.Argument(help="The public key, as `keys new` printed it.")],
    name: Annotated[str | None, typer.Argument(help="The person who owns it.")] = None,
    surface: Surface = False,
    tenant: Tenant = "default",
    by: AddedBy = None,
    json: Json = False,
) -> None:
    """Register the public key of a key that was made elsewhere."""
    from workers.cli.people import principals as body

    body.add_key(public, name, surface, tenant, by, json)


@keys.command("list")
def keys_list(tenant: OfTenant = None, json: Json = False) -> None:
    """List the registered keys."""
    from workers.cli import registries

    registries.keys(tenant, json)


@keys.command("revoke")
def keys_revoke(key: str, json: Json = False) -> None:
    """Revoke a key, at once and for good."""
    from workers.cli.people import principals as body

    body.revoke_key(key, json)
