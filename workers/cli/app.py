"""The commands of `stanchion` and their options. Bodies live beside this file and are imported when they are called."""

from typing import Annotated, Any

import typer

from workers.cli.options import By, Json
from workers.cli.policy_app import policy
from workers.cli.rollback_app import rollback

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Runs AI agents that act on real systems, durably and under control.",
)
agents = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Agent definitions.")
db = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The database.")
app.add_typer(agents, name="agents")
app.add_typer(db, name="db")
principals = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="People who may decide, and their roles.")
keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Keys that sign decisions.")
app.add_typer(policy, name="policy")
app.add_typer(principals, name="principals")
app.add_typer(keys, name="keys")
caps = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Caps on what runs and calls may use.")
app.add_typer(caps, name="caps")
app.command()(rollback)

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the end of it after a slash.")]
Approval = Annotated[str, typer.Argument(metavar="APPROVAL", help="The approval's id, such as ap-1f2e3d.")]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="Why. It is recorded, and the agent reads it.")]


# ── bring-up ────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all is ready.")] = False,
    json: Json = False,
) -> None:
    """Start Temporal, Postgres and a worker on this machine, or find them running."""
    from workers.cli import platform

    platform.up(detach, json)


@app.command()
def down(json: Json = False) -> None:
    """Stop what `up` started. Runs keep their place and go on after the next `up`."""
    from workers.cli import platform

    platform.down(json)


@app.command()
def doctor(json: Json = False) -> None:
    """Check each part, and print the fix for what is not right."""
    from workers.cli import platform

    platform.doctor(json)


@app.command()
def bootstrap(json: Json = False) -> None:
    """Prepare TEMPORAL_ADDRESS and DATABASE_URL for workers: search attributes, tables, the shipped agents."""
    from workers.cli import platform

    platform.bootstrap(json)


@app.command()
def worker(
    roles: Annotated[str, typer.Option(help="Comma-separated: workflow, model, tools, operations.")] = "",
) -> None:
    """Run a worker in the foreground, on TEMPORAL_ADDRESS and DATABASE_URL or what `up` started."""
    from workers.cli import platform

    platform.worker(roles)


@app.command()
def demo(json: Json = False) -> None:
    """Show runs that ask people, one that is killed half-way and does nothing twice, and an attack that fails."""
    from workers.cli import demo as body

    body.demo(json)


@db.command("upgrade")
def db_upgrade(json: Json = False) -> None:
    """Apply the migrations that are missing."""
    from workers.cli import platform

    platform.db_upgrade(json)


@db.command("status")
def db_status(json: Json = False) -> None:
    """How many migrations are applied, of how many."""
    from workers.cli import platform

    platform.db_status(json)


@db.command("url")
def db_url() -> None:
    """Print the database's URL, password included, for other tools."""
    from workers.cli import platform

    platform.db_url()


# ── runs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
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
    from workers.cli import runs

    caps: dict[str, Any] = {"usd": usd, "tokens": tokens, "tool_calls": tool_calls, "minutes": minutes}
    request = {"agent": agent, "goal": goal, "requester": requester, "tenant": tenant, "mode": mode, "budget": caps}
    request["on_budget"] = on_budget
    runs.start(request, key, watch, json)


@app.command()
def ls(
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only runs that are not over.")] = False,
    most: Annotated[int, typer.Option("--most", "-n", min=1, max=1000, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """List runs, latest first."""
    from workers.cli import runs

    runs.ls(agent, open_only, most, json)


@app.command()
def show(name: Run, json: Json = False) -> None:
    """Show one run: where it stands, its calls, its approvals, its outcome."""
    from workers.cli import runs

    runs.show_run(name, json)


@app.command()
def logs(
    name: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the run ends.")] = False,
    json: Json = False,
) -> None:
    """Print a run's trace log."""
    from workers.cli import runs

    runs.logs(name, follow, json)


@app.command()
def message(name: Run, text: str, by: By = None) -> None:
    """Tell a running agent something; it reads it before its next step."""
    from workers.cli import runs

    runs.message(name, text, by)


@app.command()
def pause(name: Run, reason: Reason = None, by: By = None) -> None:
    """Let a run begin nothing new."""
    from workers.cli import runs

    runs.signal(name, "pause", reason, by)


HaltRun = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run's id, or the end of it after a slash.")]
HaltAgent = Annotated[str | None, typer.Option("--agent", help="Every run of this agent.")]
HaltTool = Annotated[str | None, typer.Option("--tool", help="Every call of this tool; runs go on without it.")]
HaltTenant = Annotated[str | None, typer.Option("--tenant", help="Every run of this tenant.")]
HaltFleet = Annotated[bool, typer.Option("--fleet", help="Everything.")]


@app.command()
def resume(
    name: HaltRun = None,
    agent: HaltAgent = None,
    tool: HaltTool = None,
    tenant: HaltTenant = None,
    fleet: HaltFleet = False,
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
    """Let a paused run go on, with more budget; or lift the halts of an agent, a tool, a tenant, or everything."""
    from workers.cli import grants, halts

    added = {"usd": add_usd, "tokens": add_tokens, "tool_calls": add_tool_calls}
    added |= {"minutes": add_minutes, "steps": add_steps}
    if name is not None and not (agent or tool or tenant or fleet):
        return grants.resume(name, added, grant, reason, by, json)
    grants.refuse_amounts(added, grant)
    halts.lift(halts.aim(name, None, agent, tool, tenant, fleet), by, json)


@app.command()
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
    from workers.cli import halts

    halts.halt(halts.aim(name, run, agent, tool, tenant, fleet), reason, by, json, undo)


@app.command()
def kill(name: Run, reason: Reason = None, by: By = None, json: Json = False) -> None:
    """Stop a run at once: terminated, not asked; what it leaves is closed here."""
    from workers.cli import kill as body

    body.kill(name, reason, by, json)


@app.command("halts")
def halts_(
    lift: Annotated[str | None, typer.Option("--lift", help="Lift this one, such as halt-1f2e3d4c.")] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """List the halts in force, or lift one of them."""
    from workers.cli import halts

    if lift is not None:
        return halts.lift_one(lift, by, json)
    halts.ls(json)


@app.command()
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
    from workers.cli import drill as body

    body.drill({"runs": runs, "scope": scope, "live": live, "host": host, "by": by}, schedule, json)


# ── approvals ───────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def approvals(
    most: Annotated[int, typer.Option("--most", "-n", min=1, max=1000, help="How many.")] = 50, json: Json = False
) -> None:
    """List what waits for a person, with the exact arguments."""
    from workers.cli import decisions

    decisions.ls(most, json)


@app.command()
def approve(
    approval: Approval,
    by: By = None,
    reason: Reason = None,
    edit: Annotated[str | None, typer.Option(help="Arguments to use instead, as a JSON object.")] = None,
    repeat: Annotated[int, typer.Option(min=0, max=100, help="And the next n calls like this one.")] = 0,
    json: Json = False,
) -> None:
    """Allow a call, exactly as it is shown, or with other arguments."""
    from workers.cli import decisions

    decisions.approve(approval, by, reason, edit, repeat, json)


@app.command()
def confirm(
    approval: Approval,
    code: Annotated[str | None, typer.Option(help="The one-time code you were sent; asked for if left out.")] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Confirm, with the one-time code you were sent, a call that is about you."""
    from workers.cli import decisions

    decisions.confirm(approval, code, by, json)


@app.command()
def endorse(
    name: Run,
    value: Annotated[str, typer.Argument(help="The value, typed by you: an address, a link, an account, a path.")],
    by: By = None,
    json: Json = False,
) -> None:
    """Restate a value that was refused because the agent only read it somewhere. It counts as your own word."""
    from workers.cli import decisions

    decisions.endorse(name, value, by, json)


@app.command()
def approvers(
    days: Annotated[int, typer.Option(min=1, max=3650, help="How far to look back.")] = 30, json: Json = False
) -> None:
    """Show how people decide, and who says yes faster than anyone can read."""
    from workers.cli import decisions

    decisions.approvers(days, json)


@app.command()
def reject(approval: Approval, by: By = None, reason: Reason = None, json: Json = False) -> None:
    """Refuse a call; the agent reads the reason."""
    from workers.cli import decisions

    decisions.decide(approval, "reject", by, reason, json)


@app.command()
def respond(approval: Approval, text: str, by: By = None, json: Json = False) -> None:
    """Answer instead of the tool: the text becomes the call's result, and the call is not performed."""
    from workers.cli import decisions

    decisions.decide(approval, "respond", by, text, json)


@app.command()
def resolve(
    name: Run,
    call: Annotated[str, typer.Argument(metavar="CALL", help="The call's id, such as 3.0.")],
    verdict: Annotated[str, typer.Argument(metavar="happened|did-not|stop")],
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Say what became of an effect whose outcome is unknown."""
    from workers.cli import decisions

    decisions.resolve(name, call, verdict, by, reason, json)


# ── agents ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@agents.command("ls")
def agents_ls(json: Json = False) -> None:
    """List the registered agents."""
    from workers.cli import definitions

    definitions.ls(json)


@agents.command("add")
def agents_add(file: Annotated[str, typer.Argument(help="The agent's YAML file.")], json: Json = False) -> None:
    """Register an agent, or a new version of it. Runs that are under way keep theirs."""
    from workers.cli import definitions

    definitions.add(file, json)


@agents.command("show")
def agents_show(name: str, json: Json = False) -> None:
    """Show an agent's definition and its tools, with the tier of each."""
    from workers.cli import definitions

    definitions.show_agent(name, json)


@agents.command("schema")
def agents_schema() -> None:
    """Print the JSON Schema of agent.yaml, for editors."""
    from workers.cli import definitions

    definitions.schema()


# ── people and keys ─────────────────────────────────────────────────────────────────────────────────────────────────

Tenant = Annotated[str, typer.Option("--tenant", help="The tenant; '*' is every one.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Only what counts for this tenant.")]
Surface = Annotated[bool, typer.Option("--surface", help="Of a program that signs for people it authenticated.")]
AddedBy = Annotated[str | None, typer.Option("--by", help="Who registers it; you, if not given.")]


@principals.command("add")
def principals_add(
    name: Annotated[str, typer.Argument(help="Who, such as lee@acme.example.")],
    role: Annotated[list[str] | None, typer.Option("--role", help="A role; may be given several times.")] = None,
    tenant: Tenant = "default",
    slack: Annotated[str | None, typer.Option("--slack", help="The Slack user that is this person.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Their public key, as `keys new` printed it.")] = None,
    by: AddedBy = None,
    json: Json = False,
) -> None:
    """Register a person who may decide, or change their roles."""
    from workers.cli import principals as body

    body.add(name, role or [], tenant, slack, key, by, json)


@principals.command("list")
def principals_list(tenant: OfTenant = None, json: Json = False) -> None:
    """List who is registered."""
    from workers.cli import principals as body

    body.ls(tenant, json)


@principals.command("revoke")
def principals_revoke(name: str, tenant: Tenant = "default", json: Json = False) -> None:
    """Let a person and their keys count no more, at once."""
    from workers.cli import principals as body

    body.revoke(name, tenant, json)


@keys.command("new")
def keys_new(
    name: Annotated[str, typer.Argument(help="Whose: a registered person, or a surface's name.")],
    surface: Surface = False,
    tenant: Tenant = "default",
    offline: Annotated[bool, typer.Option("--offline", help="Only make it; register it with `keys add`.")] = False,
    by: AddedBy = None,
    json: Json = False,
) -> None:
    """Make a key on this machine and register its public half."""
    from workers.cli import principals as body

    body.new_key(name, surface, tenant, offline, by, json)


@keys.command("add")
def keys_add(
    public: Annotated[str, typer.Argument(help="The public key, as `keys new` printed it.")],
    name: Annotated[str | None, typer.Argument(help="Whose it is.")] = None,
    surface: Surface = False,
    tenant: Tenant = "default",
    by: AddedBy = None,
    json: Json = False,
) -> None:
    """Register the public half of a key that was made elsewhere."""
    from workers.cli import principals as body

    body.add_key(public, name, surface, tenant, by, json)


@keys.command("list")
def keys_list(tenant: OfTenant = None, json: Json = False) -> None:
    """List the registered keys."""
    from workers.cli import principals as body

    body.list_keys(tenant, json)


@keys.command("revoke")
def keys_revoke(key: str, json: Json = False) -> None:
    """Let a key count no more, at once and for good."""
    from workers.cli import principals as body

    body.revoke_key(key, json)


# ── surfaces ────────────────────────────────────────────────────────────────────────────────────────────────────────


# ── budgets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CapTenant = Annotated[str, typer.Option("--tenant", help="The tenant; '*' is the platform's operator.")]
CapScope = Annotated[str, typer.Option("--scope", help="run, agent, tenant, requester or destination.")]
CapKey = Annotated[str, typer.Option("--key", help="One agent, requester or destination; '*' is each of them.")]
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
    """Set a cap, from the next call on. A tenant's only tightens; the operator's stands in for a default.

    \b
    caps set usd 25.00 --scope agent --tenant acme         models: 25.00 a day for each agent of acme
    caps set minor 2000000 --class money --tenant acme     20,000.00 of each currency a day, all agents of acme
    caps set calls 50 --scope run --per run --tenant '*'   50 tool calls for every run, whatever its agent says
    """
    from workers.cli import caps as body

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
    """Take a cap away; the platform's own go on counting."""
    from workers.cli import caps as body

    body.remove(tenant, scope, key, unit, call_class, per, json)


@caps.command("ls")
def caps_ls(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only what counts for this tenant.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="What counts for this agent, and who said so.")] = None,
    json: Json = False,
) -> None:
    """List the caps that were set, and those the platform ships with; or what counts for one agent."""
    from workers.cli import caps as body

    body.ls(tenant, agent, json)


@app.command()
def cost(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One run, agent, tenant, model or tool.")] = None,
    agent: Annotated[bool, typer.Option("--agent", help="By agent.")] = False,
    tenant: Annotated[bool, typer.Option("--tenant", help="By tenant.")] = False,
    model: Annotated[bool, typer.Option("--model", help="By model.")] = False,
    tool: Annotated[bool, typer.Option("--tool", help="By tool.")] = False,
    per: Annotated[str, typer.Option("--per", help="Since the start of the hour, day, month; or total.")] = "day",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every two seconds, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show what was spent, is reserved and is left, and how fast it goes; by run, if nothing else is said."""
    from workers.cli import cost as body

    chosen = [by for by, is_chosen in zip(body.GROUPS, (agent, tenant, model, tool), strict=True) if is_chosen]
    body.cost(name, chosen, per, watch, json)


@app.command()
def slack() -> None:
    """Show approvals in Slack and take the answers given there; STANCHION_SLACK_* say where (docs/slack.md)."""
    from workers.slack import command

    command.serve()
