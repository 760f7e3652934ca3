"""Declares the commands of `stanchion policy`. Their bodies are imported when a command runs."""

from typing import Annotated

import typer

from workers.cli.options import By, Json

policy = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Policies, in Cedar.")

Since = Annotated[str | None, typer.Option("--since", help="Only calls planned within this time, such as 12h or 30d.")]


@policy.command("set")
def policy_set(
    file: Annotated[str, typer.Argument(help="The policy in Cedar; - reads it from standard input.")],
    scope: Annotated[str, typer.Option("--scope", help="A tenant, or '*' for all tenants.")],
    money_floor: Annotated[
        int | None,
        typer.Option(
            "--money-floor", min=0, help="Minor units; one person may approve up to this amount. Default: unchanged."
        ),
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Check a policy and put it in force at once, also for open runs."""
    from workers.cli.policy import policies

    policies.set_policy(file, scope, money_floor, by, json)


@policy.command("use")
def policy_use(version: str, json: Json = False) -> None:
    """Put an earlier version in force again."""
    from workers.cli.policy import policies

    policies.use(version, json)


@policy.command("show")
def policy_show(
    scope: Annotated[str, typer.Option("--scope", help="A tenant, or '*'.")] = "*",
    version: Annotated[str | None, typer.Option("--version", help="A version, in force or not.")] = None,
    json: Json = False,
) -> None:
    """Print a policy."""
    from workers.cli import registries

    registries.policy(scope, version, json)


@policy.command("ls")
def policy_ls(json: Json = False) -> None:
    """List all policy versions, and whether each still fits the tools."""
    from workers.cli.policy import policies

    policies.ls(json)


@policy.command("schema")
def policy_schema() -> None:
    """Print the Cedar schema that policies are checked against."""
    from workers.cli.policy import policies

    policies.schema()


@policy.command("test")
def policy_test(
    file: Annotated[str, typer.Argument(help="The cases, in YAML.")],
    policy: Annotated[str | None, typer.Option("--policy", help="The tenant's policy, in Cedar.")] = None,
    money_floor: Annotated[int, typer.Option("--money-floor", min=0, help="In minor units, as with `set`.")] = 0,
    in_force: Annotated[bool, typer.Option("--in-force", help="Use the policies in force in the database.")] = False,
    json: Json = False,
) -> None:
    """Evaluate test cases as the gateway would, with the shipped platform policy. Exit code 1 if one fails."""
    from workers.cli.policy import rehearsals

    rehearsals.test(file, policy, money_floor, in_force, json)


@policy.command("whatif")
def policy_whatif(
    policy: Annotated[str, typer.Option("--policy", help="The new policy, in Cedar; - reads standard input.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's calls.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this agent's calls.")] = None,
    since: Since = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most this many calls, the latest.")] = None,
    money_floor: Annotated[int | None, typer.Option("--money-floor", min=0, help="Default: the present one.")] = None,
    platform: Annotated[bool, typer.Option("--platform", help="Replace the platform's policy instead.")] = False,
    json: Json = False,
) -> None:
    """Evaluate recorded calls again with a new policy in place of the tenant's, and show what would change."""
    from workers.cli.policy import rehearsals

    rehearsals.whatif(policy, tenant, agent, since, limit, money_floor, platform, json)


@policy.command("report")
def policy_report(
    name: Annotated[str, typer.Argument(metavar="AGENT|RUN", help="An agent, or a run's id or its last part.")],
    json: Json = False,
) -> None:
    """Show what runs in mode `observe` would have done."""
    from workers.cli.policy import rehearsals

    rehearsals.report(name, json)


@policy.command("graduate")
def policy_graduate(
    agent: Annotated[str, typer.Argument(help="The agent's name.")],
    tenant: Annotated[
        str, typer.Option("--tenant", help="The tenant whose approvals count and whose people may accept.")
    ] = "default",
    least: Annotated[int, typer.Option("--least", min=1, help="Approvals in a row that a class needs.")] = 20,
    by: Annotated[str | None, typer.Option("--by", help="Who proposes it; default: your user name.")] = None,
    json: Json = False,
) -> None:
    """Propose grants for classes of calls that people always approved. A second person has to accept them."""
    from workers.cli.policy import graduation

    graduation.graduate(agent, tenant, least, by, json)


@policy.command("proposals")
def policy_proposals(
    proposal: Annotated[str | None, typer.Argument(help="Show only this one, in full.")] = None, json: Json = False
) -> None:
    """List the proposed changes of definitions, or show one."""
    from workers.cli.policy import graduation

    graduation.proposals(proposal, json)


@policy.command("accept")
def policy_accept(
    proposal: Annotated[str, typer.Argument(help="The proposal's id, such as pp-1f2e3d.")],
    by: By = None,
    json: Json = False,
) -> None:
    """Accept a proposed change, so that the agent gets a new version. The person who proposed it cannot accept it."""
    from workers.cli.policy import graduation

    graduation.accept(proposal, by, json)
