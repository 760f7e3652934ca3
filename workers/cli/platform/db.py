"""`db upgrade|status|url`: the migrations of the database, and where it is."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from activities.storage.migrate import schema_status
from workers.cli.database_session import database_url
from workers.cli.output import Exit, run, show

T = TypeVar("T")


def upgrade(as_json: bool) -> None:
    """`stanchion db upgrade`."""
    from workers.database import prepare_database  # with Cedar, for the default policy

    applied = [f"{m.version:04d}_{m.name}" for m in run(_with(prepare_database))]
    show({"applied": applied}, as_json=as_json, text=f"applied: {', '.join(applied) or 'nothing was missing'}")


def status(as_json: bool) -> None:
    """`stanchion db status`: exit code 1 if migrations are missing."""
    applied, known = run(_with(schema_status))
    show({"applied": applied, "known": known}, as_json=as_json, text=f"{applied} of {known} migrations applied")
    raise SystemExit(int(Exit.OK if applied == known else Exit.RUN_FAILED))


def url() -> None:
    """`stanchion db url`."""

    async def found() -> str:
        return database_url()

    print(run(found()))


async def _with(work: Callable[[str], Awaitable[T]]) -> T:
    """What `work` makes of the URL. Raises PostgresUnreachable."""
    return await work(database_url())
