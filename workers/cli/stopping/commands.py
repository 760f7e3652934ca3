"""Declares `halt`, `kill`, `halts`, `drill` and `rollback`. Their bodies are imported when a command runs."""

from typing import Annotated

import typer

from workers.cli.options import By, HaltAgent, HaltFleet, HaltRun, HaltTenant, HaltTool, Json, Reason, Run

commands = typer.Typer()


@commands.command()
def halt(
    name: HaltRun = None,
    run: Annotated[str | None, typer.Option("--run", help="The same as RUN.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Then roll back what the run did.")] = False,
    agent: HaltAgent = None,
    tool: HaltTool = None,
    tenant: HaltTenant = None,
    fleet: HaltFleet = False,
    reason: Reason = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Stop a run for good; or stop an agent, a tool, a tenant or everything, until `resume` lifts the halt."""
    from workers.cli.stopping import halts

    halts.halt(halts.halt_target(name, run, agent, tool, tenant, fleet), reason, by, json, undo)


@commands.command()
def kill(name: Run, reason: Reason = None, by: By = None, json: Json = False) -> None:
    """Terminate a run at once in Temporal, and close it in the tables."""
    from workers.cli.stopping import kill as body

    body.kill(name, reason, by, json)


@commands.command("halts")
def halts_(
    lift: Annotated[str | None, typer.Option("--lift", help="Lift this halt, such as halt-1f2e3d4c.")] = None,
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
    runs: Annotated[int, typer.Option(min=1, max=500, help="Number of decoy runs.")] = 50,
    scope: Annotated[
        str, typer.Option(help="What a live drill halts: agent (the decoys' own), tenant or fleet.")
    ] = "tenant",
    live: Annotated[bool, typer.Option("--live", help="Also halt all real runs in that scope.")] = False,
    schedule: Annotated[str | None, typer.Option(help="weekly: drill every week; off: end the schedule.")] = None,
    host: Annotated[str, typer.Option(help="Address of this machine for tool workers elsewhere.")] = "127.0.0.1",
    by: By = None,
    json: Json = False,
) -> None:
    """Halt decoy runs while they work. Measure how fast they stop, and whether any effect follows the halt."""
    from workers.cli.stopping import drill as body

    body.drill({"runs": runs, "scope": scope, "live": live, "host": host, "by": by}, schedule, json)


@commands.command()
def rollback(
    name: Run,
    to: Annotated[int, typer.Option("--to", min=0, help="Keep what this step and those before it did.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be rolled back.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", "-r", help="Why. It is recorded.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who orders it; default: your user name.")] = None,
    json: Json = False,
) -> None:
    """Undo the effects of a run through the gateway, the last one first. Exit code 1 if some cannot be undone."""
    from workers.cli.stopping import rollback as body

    body.rollback(name, to, dry_run, reason, by, json)
