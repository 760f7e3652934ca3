"""The commands of `stanchion policy` and their options. Bodies are imported when they are called."""

from typing import Annotated

import typer

from workers.cli.options import By, Json

policy = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Policies, in Cedar.")

Since = Annotated[str | None, typer.Option("--since", help="Only what was planned in this time, such as 12h or 30d.")]


@policy.command("set")
def policy_set(
    file: Annotated[str, typer.Argument(help="The policy in Cedar; - reads it from standard input.")],
    scope: Annotated[str, typer.Option("--scope", help="A tenant, or '*': for every one.")],
    money_floor: Annotated[
        int | None,
        typer.Option(
            "--money-floor", min=0, help="Minor units; what moves no more takes one person. As it is now, if not given."
        ),
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Check a policy and put it in force, at once and for every run."""
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
    version: Annotated[str | None, typer.Option("--version", help="This one, in force or not.")] = None,
    json: Json = False,
) -> None:
    """Print a policy."""
    from workers.cli import registries

    registries.policy(scope, version, json)


@policy.command("ls")
def policy_ls(json: Json = False) -> None:
    """List the policies that were set, and whether each still fits the tools."""
    from workers.cli.policy import policies

    policies.ls(json)


@policy.command("schema")
def policy_schema() -> None:
    """Print what a policy may speak about, in Cedar's own notation."""
    from workers.cli.policy import policies

    policies.schema()


@policy.command("test")
def policy_test(
    file: Annotated[str, typer.Argument(help="The cases, in YAML.")],
    policy: Annotated[str | None, typer.Option("--policy", help="The tenant's policy, in Cedar.")] = None,
    money_floor: Annotated[int, typer.Option("--money-floor", min=0, help="In minor units, as with `set`.")] = 0,
    in_force: Annotated[bool, typer.Option("--in-force", help="With the policies of the database instead.")] = False,
    json: Json = False,
) -> None:
    """Judge cases as the gateway would, with the shipped platform policy; exit code 1 if one turns out otherwise."""
    from workers.cli.policy import rehearsals

    rehearsals.test(file, policy, money_floor, in_force, json)


@policy.command("whatif")
def policy_whatif(
    policy: Annotated[str, typer.Option("--policy", help="The new policy, in Cedar; - reads standard input.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's calls.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this agent's calls.")] = None,
    since: Since = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many calls, the latest.")] = None,
    money_floor: Annotated[int | None, typer.Option("--money-floor", min=0, help="As it is now, if not given.")] = None,
    platform: Annotated[bool, typer.Option("--platform", help="In place of the platform's, not the tenant's.")] = False,
    json: Json = False,
) -> None:
    """Decide recorded calls again with another policy in place of the tenant's, and show what would change."""
    from workers.cli.policy import rehearsals

    rehearsals.whatif(policy, tenant, agent, since, limit, money_floor, platform, json)


@policy.command("report")
def policy_report(
    name: Annotated[str, typer.Argument(metavar="AGENT|RUN", help="An agent, or a run's id or the end of it.")],
    json: Json = False,
) -> None:
    """Show what runs in mode observe would have done."""
    from workers.cli.policy import rehearsals

    rehearsals.report(name, json)


@policy.command("graduate")
def policy_graduate(
    agent: Annotated[str, typer.Argument(help="The agent's name.")],
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose approvals count, and whose people accept.")
    ] = "default",
    least: Annotated[int, typer.Option("--least", min=1, help="So many times in a row, at least.")] = 20,
    by: Annotated[str | None, typer.Option("--by", help="Who proposes it; you, if not given.")] = None,
    json: Json = False,
) -> None:
    """Propose grants for the classes of calls that people always said yes to. Somebody else accepts them."""
    from workers.cli.policy import graduation

    graduation.graduate(agent, tenant, least, by, json)


@policy.command("proposals")
def policy_proposals(
    proposal: Annotated[str | None, typer.Argument(help="Show this one whole.")] = None, json: Json = False
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
    """Accept a proposed change: the agent gets a new version. Whoever proposed it cannot."""
    from workers.cli.policy import graduation

    graduation.accept(proposal, by, json)
