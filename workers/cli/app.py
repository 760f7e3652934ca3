"""`stanchion`: all commands, in the order in which its help shows them. Their options are in the `_app` files."""

import typer

from workers.cli import (
    agents_app,
    budgets_app,
    decisions_app,
    people_app,
    platform_app,
    policy_app,
    runs_app,
    stopping_app,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Runs AI agents that act on real systems, durably and under control.",
)
for group in (platform_app, runs_app, stopping_app, decisions_app, budgets_app, agents_app, people_app):
    app.add_typer(group.commands)
app.add_typer(policy_app.policy, name="policy")
