"""The Typer app `stanchion` with all command groups, in the order of its help."""

import typer

from workers.cli.agents import commands as agents
from workers.cli.approvals import commands as approvals
from workers.cli.budgets import commands as budgets
from workers.cli.people import commands as people
from workers.cli.platform import commands as platform
from workers.cli.policy import commands as policy
from workers.cli.runs import commands as runs
from workers.cli.stopping import commands as stopping

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Runs AI agents that act on real systems, durably and under control.",
)
for group in (platform, runs, stopping, approvals, budgets, agents, people):
    app.add_typer(group.commands)
app.add_typer(policy.policy, name="policy")
