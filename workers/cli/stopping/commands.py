"""The off switch, drills of it, and taking back what was done. Bodies are imported when they are called."""

from typing import Annotated

import typer

from workers.cli.options import By, HaltAgent, HaltFleet, HaltRun, HaltTenant, HaltTool, Json, Reason, Run

commands = typer.Typer()


@commands.command()
def halt(
    name: HaltRun = None,
    run: Annotated[str | None, typer.Option("--run", help="The same as RUN.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Then take back what the run did.")] = False,
    agent: HaltAgent = None,
    tool: HaltTool = None,
    tenant: HaltTenant = None,
    fleet: HaltFleet = False,
    reason: Reason = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Stop a run for good, or an agent, a tool, a tenant or everything until `resume` lifts it."""
    from workers.cli.stopping import halts

    halts.halt(halts.halt_target(name, run, agent, tool, tenant, fleet), reason, by, json, undo)


@commands.command()
def kill(name: Run, reason: Reason = None, by: By = None, json: Json = False) -> None:
    """Stop a run at once: terminated, not asked; what it leaves is closed here."""
    from workers.cli.stopping import kill as body

    body.kill(name, reason, by, json)


@commands.command("halts")
def halts_(
    lift: Annotated[str | None, typer.Option("--lift", help="Lift this one, such as halt-1f2e3d4c.")] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """List the halts in force, or lift one of them."""
    if lift is not None:
        from workers.cli.stopping import halts

        return halts.lift_one(lift, by, json)
    from workers.cli import registries

    registries.halts(json)


@commands.command()
def drill(
    runs: Annotated[int, typer.Option(min=1, max=500, help="How many decoys.")] = 50,
    scope: Annotated[
        str, typer.Option(help="What a live drill halts: agent (the decoys'), tenant or fleet.")
    ] = "tenant",
    live: Annotated[bool, typer.Option("--live", help="Halt at that scope for real, other runs included.")] = False,
    schedule: Annotated[str | None, typer.Option(help="weekly: drill every week from now on; off: no more.")] = None,
    host: Annotated[str, typer.Option(help="How tool workers on other machines reach this one.")] = "127.0.0.1",
    by: By = None,
    json: Json = False,
) -> None:
    """Halt decoy runs in the middle of their work, and measure how fast they stop and whether anything comes after."""
    from workers.cli.stopping import drill as body

    body.drill({"runs": runs, "scope": scope, "live": live, "host": host, "by": by}, schedule, json)


@commands.command()
def rollback(
    name: Run,
    to: Annotated[int, typer.Option("--to", min=0, help="Keep what this step and those before it did.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken back.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", "-r", help="Why. It is recorded.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who orders it; you, if not given.")] = None,
    json: Json = False,
) -> None:
    """Take back what a run did, its last effect first, through the gateway; exit code 1 if something is left."""
    from workers.cli.stopping import rollback as body

    body.rollback(name, to, dry_run, reason, by, json)
