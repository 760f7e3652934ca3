"""`policy set|use|ls|schema`."""

import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

from activities.agents.versions import Agents, shapes_of_all
from activities.policy.cedar.schema import ToolShape, schema_for
from activities.policy.cedar.store import SQL, Policies
from activities.storage.database import Database
from workers.cli.database_session import store
from workers.cli.output import Exit, fail, run, show, table
from workers.cli.registries import policy_version


def set_policy(file: str, scope: str, money_floor: int | None, by: str | None, as_json: bool) -> None:
    """`stanchion policy set`."""
    text = text_of(file)

    async def work() -> tuple[str, int]:
        async with store() as database:
            tools = await _tools(database)
            who, policies = by or getpass.getuser(), Policies(database)
            floor = await policies.floor(scope) if money_floor is None else money_floor
            return await policies.set(scope, text, by=who, money_floor=floor, tools=tools), floor

    version, floor = run(work())
    data = {"scope": scope, "version": version, "money_floor": floor}
    show(data, as_json=as_json, text=f"{scope} {version[:12]}: in force from the next call on, money floor {floor}")


def use(version: str, as_json: bool) -> None:
    """`stanchion policy use`: an earlier version again."""

    async def work() -> dict[str, Any]:
        async with store() as database:
            row = await policy_version(database, version)
            await Policies(database).put_back(row["version"], by=getpass.getuser())
            return row

    row = run(work())
    data = {key: row[key] for key in ("scope", "version", "money_floor")}
    show(data, as_json=as_json, text=f"{row['scope']} {row['version'][:12]}: in force again from the next call on")


def ls(as_json: bool) -> None:
    """`stanchion policy ls`."""

    async def work() -> tuple[list[dict[str, Any]], dict[str, str]]:
        async with store() as database:
            rows = [dict(row) for row in await SQL["all"].rows(database)]
            return rows, await Policies(database).misfits(await _tools(database))

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
        async with store() as database:
            return await _tools(database)

    print(Schema.from_json_str(json.dumps(schema_for(run(work())))), flush=True)


async def _tools(database: Database) -> list[ToolShape]:
    """Every tool that a registered agent offers."""
    return shapes_of_all(await Agents(database).all())


def text_of(file: str) -> str:
    """The text of a file, or of standard input; a file that cannot be read is a usage error."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read: {error}", Exit.USAGE)


def import_from_here() -> None:
    """Tool modules are named as the author's own shell would import them."""
    sys.path.insert(0, os.getcwd())
