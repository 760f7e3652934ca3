"""Declares the commands that start, show and signal runs. Their bodies are imported when a command runs."""

from typing import Annotated, Any

import typer

from workers.cli.options import By, HaltAgent, HaltFleet, HaltRun, HaltTenant, HaltTool, Json, Limit, Reason, Run

commands = typer.Typer()


@commands.command()
def run(
    agent: Annotated[str, typer.Argument(help="The agent's name.")],
    goal: Annotated[str, typer.Argument(help="What to achieve; - reads it from standard input.")],
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key names the same run.")] = None,
    requester: Annotated[
        str | None, typer.Option(help="The person whom the run works for; never approves its calls.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="The tenant it runs for.")] = "default",
    mode: Annotated[
        str | None, typer.Option(help="observe, propose, tiered or autonomous; at least as strict as the agent's.")
    ] = None,
    usd: Annotated[str | None, typer.Option(help="Cap in USD, such as 0.50; at most the agent's.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Cap in tokens; at most the agent's.")] = None,
    tool_calls: Annotated[int | None, typer.Option(help="Cap on tool calls; at most the agent's.")] = None,
    minutes: Annotated[int | None, typer.Option(help="Cap in active minutes; at most the agent's.")] = None,
    on_budget: Annotated[str | None, typer.Option(help="stop: end the run when a budget is used up.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the run to its end; Ctrl-C detaches.")] = False,
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
    agent: Annotated[str | None, typer.Option(help="Only runs of this agent.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only open runs.")] = False,
    drills: Annotated[bool, typer.Option("--drills", help="Also list the decoys of drills.")] = False,
    most: Limit = 50,
    after: Annotated[str | None, typer.Option(help="Show the page after this run.")] = None,
    json: Json = False,
) -> None:
    """List runs, latest first."""
    from workers.cli.runs import listing

    listing.ls(agent, open_only, drills, most, after, json)


@commands.command()
def show(name: Run, json: Json = False) -> None:
    """Show one run: its status, calls, approvals and outcome."""
    from workers.cli.runs import listing

    listing.show_run(name, json)


@commands.command()
def logs(
    name: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow it until the run ends.")] = False,
    json: Json = False,
) -> None:
    """Print a run's trace log."""
    from workers.cli.runs import listing

    listing.logs(name, follow, json)


@commands.command()
def message(name: Run, text: str, by: By = None) -> None:
    """Send a message to a run. The agent reads it before its next step."""
    from workers.cli.runs import runs

    runs.message(name, text, by)


@commands.command()
def pause(name: Run, reason: Reason = None, by: By = None) -> None:
    """Pause a run: it begins nothing new until it is resumed."""
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
    add_usd: Annotated[str | None, typer.Option(help="Add USD to its budget, such as 1.00.")] = None,
    add_tokens: Annotated[int | None, typer.Option(help="Add tokens to its budget.")] = None,
    add_tool_calls: Annotated[int | None, typer.Option(help="Add tool calls to its budget.")] = None,
    add_minutes: Annotated[int | None, typer.Option(help="Add active minutes to its budget.")] = None,
    add_steps: Annotated[int | None, typer.Option(help="Add steps to its budget.")] = None,
    grant: Annotated[str | None, typer.Option(help="Idempotency key: the same key adds only once.")] = None,
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
