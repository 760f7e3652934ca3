"""Declares the commands that run the platform. Their bodies are imported when a command runs."""

from typing import Annotated

import typer

from workers.cli.options import Json

commands = typer.Typer()
db = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The database.")
commands.add_typer(db, name="db")


@commands.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background; return when ready.")] = False,
    json: Json = False,
) -> None:
    """Start Temporal, Postgres and a worker on this machine, unless they run already."""
    from workers.cli.platform import services

    services.up(detach, json)


@commands.command()
def down(json: Json = False) -> None:
    """Stop what `up` started. Open runs continue after the next `up`."""
    from workers.cli.platform import services

    services.down(json)


@commands.command()
def doctor(json: Json = False) -> None:
    """Check each part of the installation, and print how to fix what is wrong."""
    from workers.cli.platform import services

    services.doctor(json)


@commands.command()
def bootstrap(json: Json = False) -> None:
    """Prepare the servers at TEMPORAL_ADDRESS and DATABASE_URL: search attributes, tables, the shipped agents."""
    from workers.cli.platform import services

    services.bootstrap(json)


@commands.command()
def worker(
    roles: Annotated[str, typer.Option(help="Comma-separated: workflow, model, tools, operations.")] = "",
) -> None:
    """Run a worker in the foreground, on TEMPORAL_ADDRESS and DATABASE_URL, or on the servers that `up` started."""
    from workers.cli.platform import services

    services.worker(roles)


@commands.command()
def demo(json: Json = False) -> None:
    """Play a demo: a run that survives a kill without repeating an effect, an approval, and an attack that fails."""
    from workers.cli.platform import demo as body

    body.demo(json)


@db.command("upgrade")
def db_upgrade(json: Json = False) -> None:
    """Apply the missing migrations."""
    from workers.cli.platform import db as body

    body.upgrade(json)


@db.command("status")
def db_status(json: Json = False) -> None:
    """Print how many migrations are applied, and how many there are."""
    from workers.cli.platform import db as body

    body.status(json)


@db.command("url")
def db_url() -> None:
    """Print the database's URL, including its password, for other tools."""
    from workers.cli.platform import db as body

    body.url()


@commands.command()
def slack() -> None:
    """Run the Slack bot, which shows approvals and takes decisions; STANCHION_SLACK_* configure it (docs/slack.md)."""
    from workers.slack import command

    command.serve()
