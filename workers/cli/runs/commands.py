"""Starting runs, looking at them and talking to them. Bodies are imported when they are called."""

from typing import Annotated, Any

import typer

from workers.cli.options import By, HaltAgent, HaltFleet, HaltRun, HaltTenant, HaltTool, Json, Limit, Reason, Run

commands = typer.Typer()


@commands.command()
def run(
    agent: Annotated[str, typer.Argument(help="The agent's name.")],
    goal: Annotated[str, typer.Argument(help="What to achieve; - reads it from standard input.")],
    key: Annotated[str | None, typer.Option(help="Idempotency key of the run; the same key is the same run.")] = None,
    requester: Annotated[str | None, typer.Option(help="Who wants it. A requester never approves.")] = None,
    tenant: Annotated[str, typer.Option(help="The tenant it runs for.")] = "default",
    mode: Annotated[str | None, typer.Option(help="observe, propose, tiered or autonomous; only stricter.")] = None,
    usd: Annotated[str | None, typer.Option(help="Cap in USD, such as 0.50; only tighter.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Cap in tokens; only tighter.")] = None,
    tool_calls: Annotated[int | None, typer.Option(help="Cap on tool calls; only tighter.")] = None,
    minutes: Annotated[int | None, typer.Option(help="Cap in active minutes; only tighter.")] = None,
    on_budget: Annotated[str | None, typer.Option(help="stop: do not pause when a budget is used up.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to the end; Ctrl-C detaches.")] = False,
    json: Json = False,
) -> None:
    """Start a run."""
    from workers.cli.runs import runs

    caps: dict[str, Any] = {"usd": usd, "tokens": tokens, "tool_calls": tool_calls, "minutes": minutes}
    request = {"agent": agent, "goal": goal, "requester": requester, "tenant": tenant, "mode": mode, "budget": caps}
    request["on_budget"] = on_budget
    runs.start(request, key, watch, json)


@commands.command()
def ls(
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only runs that are not over.")] = False,
    drills: Annotated[bool, typer.Option("--drills", help="The decoys of drills, too.")] = False,
    most: Limit = 50,
    after: Annotated[str | None, typer.Option(help="Go on after this run, the last one of the page before.")] = None,
    json: Json = False,
) -> None:
    """List runs, latest first."""
    from workers.cli.runs import listing

    listing.ls(agent, open_only, drills, most, after, json)


@commands.command()
def show(name: Run, json: Json = False) -> None:
    """Show one run: where it stands, its calls, its approvals, its outcome."""
    from workers.cli.runs import listing

    listing.show_run(name, json)


@commands.command()
def logs(
    name: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the run ends.")] = False,
    json: Json = False,
) -> None:
    """Print a run's trace log."""
    from workers.cli.runs import listing

    listing.logs(name, follow, json)


@commands.command()
def message(name: Run, text: str, by: By = None) -> None:
    """Tell a running agent something; it reads it before its next step."""
    from workers.cli.runs import runs

    runs.message(name, text, by)


@commands.command()
def pause(name: Run, reason: Reason = None, by: By = None) -> None:
    """Let a run begin nothing new."""
    from workers.cli.runs import runs

    runs.signal(name, "pause", reason, by)


@commands.command()
def resume(
    name: HaltRun = None,
    agent: HaltAgent = None,
    tool: HaltTool = None,
    tenant: HaltTenant = None,
    fleet: HaltFleet = False,
    vendor: Annotated[
        str | None,
        typer.Option(help="Have all runs that wait for a model vendor ask it again now, such as anthropic."),
    ] = None,
    add_usd: Annotated[str | None, typer.Option(help="Add this to its budget, such as 1.00.")] = None,
    add_tokens: Annotated[int | None, typer.Option(help="Add tokens to its budget.")] = None,
    add_tool_calls: Annotated[int | None, typer.Option(help="Add tool calls to its budget.")] = None,
    add_minutes: Annotated[int | None, typer.Option(help="Add active minutes to its budget.")] = None,
    add_steps: Annotated[int | None, typer.Option(help="Add steps to its budget.")] = None,
    grant: Annotated[str | None, typer.Option(help="Idempotency key; the same one adds once.")] = None,
    reason: Reason = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Let a paused run go on, with more budget; or the runs that wait for a model vendor; or lift halts."""
    from workers.cli.budgets import resume_run
    from workers.cli.stopping import halts

    added = {"usd": add_usd, "tokens": add_tokens, "tool_calls": add_tool_calls}
    added |= {"minutes": add_minutes, "steps": add_steps}
    if vendor is not None:
        from workers.cli.runs import vendors

        resume_run.refuse_amounts(added, grant)
        others = bool(name or agent or tool or tenant or fleet)
        return vendors.resume(vendor, reason, by, json, alone=not others)
    if name is not None and not (agent or tool or tenant or fleet):
        return resume_run.resume(name, added, grant, reason, by, json)
    resume_run.refuse_amounts(added, grant)
    halts.lift(halts.halt_target(name, None, agent, tool, tenant, fleet), by, json)
