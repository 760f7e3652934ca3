"""Declares `stanchion cost` and `stanchion caps`. Their bodies are imported when a command runs."""

from typing import Annotated

import typer

from workers.cli.options import By, Json

commands = typer.Typer()
caps = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Caps on what runs and calls may use.")
commands.add_typer(caps, name="caps")


CapTenant = Annotated[str, typer.Option("--tenant", help="The tenant; '*' sets the operator's cap for all tenants.")]
CapScope = Annotated[str, typer.Option("--scope", help="run, agent, tenant, requester or destination.")]
CapKey = Annotated[str, typer.Option("--key", help="One agent, requester or destination; '*' means each of them.")]
CapClass = Annotated[str, typer.Option("--class", help="A class of calls such as send or money, tool:NAME, '*'.")]
CapPeriod = Annotated[str, typer.Option("--per", help="action, run, hour, day, month or total.")]
CapUnit = Annotated[
    str,
    typer.Argument(
        metavar="UNIT",
        help="calls; recipients; bytes-out; minor (money that tools move, in cents of each currency, minor:JPY of "
        "one); usd or micro-usd (what models cost); tokens; minutes; slots (runs at once).",
    ),
]


@caps.command("set")
def caps_set(
    unit: CapUnit,
    most: Annotated[str, typer.Argument(metavar="MOST", help="A whole number; for the unit usd an amount like 5.00.")],
    tenant: CapTenant = "default",
    scope: CapScope = "tenant",
    key: CapKey = "*",
    call_class: CapClass = "*",
    per: CapPeriod = "day",
    by: By = None,
    json: Json = False,
) -> None:
    """Set a cap, from the next call on. A tenant's cap can only tighten; the operator's replaces a default.

    \b
    caps set usd 25.00 --scope agent --tenant acme         models: 25.00 a day for each agent of acme
    caps set minor 2000000 --class money --tenant acme     20,000.00 of each currency a day, all agents of acme
    caps set calls 50 --scope run --per run --tenant '*'   50 tool calls for every run, whatever its agent says
    """
    from workers.cli.budgets import caps as body

    body.set_cap(tenant, scope, key, unit, call_class, per, most, by, json)


@caps.command("rm")
def caps_rm(
    unit: CapUnit,
    tenant: CapTenant = "default",
    scope: CapScope = "tenant",
    key: CapKey = "*",
    call_class: CapClass = "*",
    per: CapPeriod = "day",
    json: Json = False,
) -> None:
    """Remove a cap. The platform's default caps stay in force."""
    from workers.cli.budgets import caps as body

    body.remove(tenant, scope, key, unit, call_class, per, json)


@caps.command("ls")
def caps_ls(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only the caps that apply to this tenant.")] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="The effective caps of this agent, and who set them.")
    ] = None,
    json: Json = False,
) -> None:
    """List the caps that were set and the platform's defaults, or the caps in force for one agent."""
    from workers.cli.budgets import caps as body

    body.ls(tenant, agent, json)


@commands.command()
def cost(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One run, agent, tenant, model or tool.")] = None,
    agent: Annotated[bool, typer.Option("--agent", help="By agent.")] = False,
    tenant: Annotated[bool, typer.Option("--tenant", help="By tenant.")] = False,
    model: Annotated[bool, typer.Option("--model", help="By model.")] = False,
    tool: Annotated[bool, typer.Option("--tool", help="By tool.")] = False,
    per: Annotated[str, typer.Option("--per", help="Since the start of the hour, day or month; or total.")] = "day",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat every two seconds, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show the amounts spent, reserved and left, and the spending of the last hour. Grouped by run by default."""
    from workers.cli.budgets import cost as body

    chosen = [by for by, is_chosen in zip(body.GROUPS, (agent, tenant, model, tool), strict=True) if is_chosen]
    body.cost(name, chosen, per, watch, json)
