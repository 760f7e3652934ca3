"""`stanchion rollback` and its options. The body is imported when it is called."""

from typing import Annotated

import typer

from workers.cli.options import Json

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the end of it after a slash.")]


def rollback(
    name: Run,
    to: Annotated[int, typer.Option("--to", min=0, help="Keep what this step and those before it did.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken back.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", "-r", help="Why. It is recorded.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who orders it; you, if not given.")] = None,
    json: Json = False,
) -> None:
    """Take back what a run did, its last effect first, through the gateway; exit code 1 if something is left."""
    from workers.cli import rollback as body

    body.rollback(name, to, dry_run, reason, by, json)
