"""The bodies of `db upgrade`, `db status` and `db url`."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from activities.storage.migrate import schema_status
from workers.cli.database_session import database_url
from workers.cli.output import Exit, run, show

T = TypeVar("T")


def upgrade(as_json: bool) -> None:
    """`stanchion db upgrade`."""
    from workers.database import prepare_database  # imported here because it imports Cedar

    applied = [f"{m.version:04d}_{m.name}" for m in run(_call_with_url(prepare_database))]
    show({"applied": applied}, as_json=as_json, text=f"applied: {', '.join(applied) or 'nothing was missing'}")


def status(as_json: bool) -> None:
    """`stanchion db status`. Exit code 1 if the numbers of applied and known migrations differ."""
    applied, known = run(_call_with_url(schema_status))
    show({"applied": applied, "known": known}, as_json=as_json, text=f"{applied} of {known} migrations applied")
    raise SystemExit(int(Exit.OK if applied == known else Exit.RUN_FAILED))


def url() -> None:
    """`stanchion db url`."""

    async def work() -> str:
        return database_url()

    print(run(work()))


async def _call_with_url(function: Callable[[str], Awaitable[T]]) -> T:
    """Call `function` with the database's URL. Raises PostgresUnreachable inside the coroutine, as `run` expects."""
    return await function(database_url())
