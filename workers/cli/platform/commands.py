"""`up` to `demo`, `slack`, `db`: the platform on one machine. Bodies are imported when they are called."""

from typing import Annotated

import typer

from workers.cli.options import Json

commands = typer.Typer()
db = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The database.")
commands.add_typer(db, name="db")


@commands.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all is ready.")] = False,
    json: Json = False,
) -> None:
    """Start Temporal, Postgres and a worker on this machine, or find them running."""
    from workers.cli.platform import services

    services.up(detach, json)


@commands.command()
def down(json: Json = False) -> None:
    """Stop what `up` started. Runs keep their place and go on after the next `up`."""
    from workers.cli.platform import services

    services.down(json)


@commands.command()
def doctor(json: Json = False) -> None:
    """Check each part, and print the fix for what is not right."""
    from workers.cli.platform import services

    services.doctor(json)


@commands.command()
def bootstrap(json: Json = False) -> None:
    """Prepare TEMPORAL_ADDRESS and DATABASE_URL for workers: search attributes, tables, the shipped agents."""
    from workers.cli.platform import services

    services.bootstrap(json)


@commands.command()
def worker(
    roles: Annotated[str, typer.Option(help="Comma-separated: workflow, model, tools, operations.")] = "",
) -> None:
    """Run a worker in the foreground, on TEMPORAL_ADDRESS and DATABASE_URL or what `up` started."""
    from workers.cli.platform import services

    services.worker(roles)


@commands.command()
def demo(json: Json = False) -> None:
    """Show runs that ask people, one that is killed half-way and does nothing twice, and an attack that fails."""
    from workers.cli.platform import demo as body

    body.demo(json)


@db.command("upgrade")
def db_upgrade(json: Json = False) -> None:
    """Apply the migrations that are missing."""
    from workers.cli.platform import db as body

    body.upgrade(json)


@db.command("status")
def db_status(json: Json = False) -> None:
    """How many migrations are applied, of how many."""
    from workers.cli.platform import db as body

    body.status(json)


@db.command("url")
def db_url() -> None:
    """Print the database's URL, password included, for other tools."""
    from workers.cli.platform import db as body

    body.url()


@commands.command()
def slack() -> None:
    """Show approvals in Slack and take the answers given there; STANCHION_SLACK_* say where (docs/slack.md)."""
    from workers.slack import command

    command.serve()
