"""The bodies of `policy set`, `use`, `ls` and `schema`."""

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
from workers.cli.database_session import open_database
from workers.cli.output import Exit, echo, fail, run, show, table
from workers.cli.registries import policy_version


def set_policy(file: str, scope: str, money_floor: int | None, by: str | None, as_json: bool) -> None:
    """`stanchion policy set`."""
    text = read_text(file)

    async def work() -> tuple[str, int]:
        async with open_database() as database:
            tools = await _registered_tools(database)
            person, policies = by or getpass.getuser(), Policies(database)
            floor = await policies.floor(scope) if money_floor is None else money_floor
            return await policies.set(scope, text, by=person, money_floor=floor, tools=tools), floor

    version, floor = run(work())
    data = {"scope": scope, "version": version, "money_floor": floor}
    show(data, as_json=as_json, text=f"{scope} {version[:12]}: in force from the next call on, money floor {floor}")


def use(version: str, as_json: bool) -> None:
    """`stanchion policy use`: puts an earlier version in force again."""

    async def work() -> dict[str, Any]:
        async with open_database() as database:
            row = await policy_version(database, version)
            await Policies(database).put_back(row["version"], by=getpass.getuser())
            return row

    row = run(work())
    data = {key: row[key] for key in ("scope", "version", "money_floor")}
    show(data, as_json=as_json, text=f"{row['scope']} {row['version'][:12]}: in force again from the next call on")


def ls(as_json: bool) -> None:
    """`stanchion policy ls`."""

    async def work() -> tuple[list[dict[str, Any]], dict[str, str]]:
        async with open_database() as database:
            rows = [dict(row) for row in await SQL["all"].rows(database)]
            return rows, await Policies(database).misfits(await _registered_tools(database))

    rows, misfits = run(work())
    for row in rows:
        row["problem"] = misfits.get(row["version"])
        row["in_force"] = row["in_force"] if as_json else "yes" if row["in_force"] else "-"
        row["version"] = row["version"] if as_json else row["version"][:12]
    columns = ("scope", "version", "in_force", "money_floor", "by", "at", "problem")
    table(rows, columns, as_json=as_json, empty="no policy yet; `stanchion bootstrap` sets the default one for '*'")


def schema() -> None:
    """`stanchion policy schema`: prints the Cedar schema of the registered agents' tools."""
    from cedarpy import Schema

    async def work() -> list[ToolShape]:
        async with open_database() as database:
            return await _registered_tools(database)

    echo(str(Schema.from_json_str(json.dumps(schema_for(run(work()))))))


async def _registered_tools(database: Database) -> list[ToolShape]:
    """Return the shapes of all tools that registered agents offer."""
    return shapes_of_all(await Agents(database).all())


def read_text(file: str) -> str:
    """Return the text of a file, or of standard input for `-`. Exits with a usage error if it cannot be read."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read: {error}", Exit.USAGE)


def allow_tool_imports() -> None:
    """Let tool modules be imported from the working folder, relative to which an agent.yaml names them."""
    sys.path.insert(0, os.getcwd())
