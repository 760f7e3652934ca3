"""`policy set|use|show|ls|schema`."""

import getpass
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from activities.agents.versions import Agents, shapes_of_all
from activities.policy.cedar_schema import ToolShape, schema_for
from activities.policy.store import SQL, Policies, PolicyMissing
from activities.storage.database import Database
from workers.cli.opened import session
from workers.cli.output import Exit, fail, run, say, show, table
from workers.cli.reading import NOT_UP
from workers.services import Home, PostgresUnreachable
from workers.services.postgres import find_postgres_url
from workers.settings import from_environment


def set_policy(file: str, scope: str, money_floor: int | None, by: str | None, as_json: bool) -> None:
    """`stanchion policy set`."""
    text = text_of(file)

    async def work() -> tuple[str, int]:
        async with session() as opened:
            tools = await _tools(opened.database)
            who, policies = by or getpass.getuser(), Policies(opened.database)
            floor = await policies.floor(scope) if money_floor is None else money_floor
            return await policies.set(scope, text, by=who, money_floor=floor, tools=tools), floor

    version, floor = run(work())
    data = {"scope": scope, "version": version, "money_floor": floor}
    show(data, as_json=as_json, text=f"{scope} {version[:12]}: in force from the next call on, money floor {floor}")


def use(version: str, as_json: bool) -> None:
    """`stanchion policy use`: an earlier version again."""

    async def work() -> dict[str, Any]:
        async with session() as opened:
            row = await _found(opened.database, version)
            await Policies(opened.database).put_back(row["version"], by=getpass.getuser())
            return row

    row = run(work())
    data = {key: row[key] for key in ("scope", "version", "money_floor")}
    show(data, as_json=as_json, text=f"{row['scope']} {row['version'][:12]}: in force again from the next call on")


def show_policy(scope: str, version: str | None, as_json: bool) -> None:
    """`stanchion policy show`: the text alone, so that it can be written to a file."""

    async def work() -> dict[str, Any]:
        async with session() as opened:
            if version is not None:
                return await _found(opened.database, version)
            for row in await SQL["all_in_force"].rows(opened.database):
                if row["scope"] == scope:
                    return dict(row)
            raise PolicyMissing(f"no policy is in force for {scope!r}; `stanchion policy ls` lists those there are")

    row = run(work())
    if as_json:
        return show(row, as_json=True)
    say(f"{row['scope']} {row['version'][:12]}, money floor {row['money_floor']}, set by {row['by']}")
    sys.stdout.write(row["text"])


def ls(as_json: bool) -> None:
    """`stanchion policy ls`."""

    async def work() -> tuple[list[dict[str, Any]], dict[str, str]]:
        async with session() as opened:
            rows = [dict(row) for row in await SQL["all"].rows(opened.database)]
            return rows, await Policies(opened.database).misfits(await _tools(opened.database))

    rows, wrong = run(work())
    for row in rows:
        row["problem"] = wrong.get(row["version"])
        row["in_force"] = row["in_force"] if as_json else "yes" if row["in_force"] else "-"
        row["version"] = row["version"] if as_json else row["version"][:12]
    columns = ("scope", "version", "in_force", "money_floor", "by", "at", "problem")
    table(rows, columns, as_json=as_json, empty="no policy was ever set; `stanchion bootstrap` puts the default at '*'")


def schema() -> None:
    """`stanchion policy schema`: what a policy may speak about, in Cedar's own notation."""
    from cedarpy import Schema

    async def work() -> list[ToolShape]:
        async with session() as opened:
            return await _tools(opened.database)

    print(Schema.from_json_str(json.dumps(schema_for(run(work())))), flush=True)


async def _tools(database: Database) -> list[ToolShape]:
    """Every tool that a registered agent offers."""
    return shapes_of_all(await Agents(database).all())


async def _found(database: Database, prefix: str) -> dict[str, Any]:
    """The version that begins so. Raises PolicyMissing."""
    rows = await SQL["find"].rows(database, prefix=prefix)
    if len(rows) == 1:
        return dict(rows[0])
    if rows:
        names = ", ".join(row["version"][:12] for row in rows)
        raise PolicyMissing(f"{prefix!r} begins several versions; say more of it: {names}")
    raise PolicyMissing(f"no policy version begins with {prefix!r}; `stanchion policy ls` lists those there are")


def text_of(file: str) -> str:
    """The text of a file, or of standard input; a file that cannot be read is a usage error."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read: {error}", Exit.USAGE)


@asynccontextmanager
async def database() -> AsyncIterator[Database]:
    """The database alone: what only reads it needs no Temporal. Raises PostgresUnreachable."""
    url = find_postgres_url(Home.locate(), from_environment().database_url)
    if url is None:
        raise PostgresUnreachable(f"no Postgres: {NOT_UP}")
    opened = Database(url)
    try:
        yield opened
    finally:
        await opened.close()


def import_from_here() -> None:
    """Tool modules are named as the author's own shell would import them."""
    sys.path.insert(0, os.getcwd())
