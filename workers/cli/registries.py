"""`halts`, `principals list`, `keys list`, `policy show`, `agents ls`: rows of our tables, as they stand."""

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import activities
from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.cli.database_session import store
from workers.cli.output import run, say, show, table

NOBODY = "nobody is registered yet; `stanchion principals add NAME --role ROLE` registers a person"
_PACKAGE = str(Path(activities.__path__[0]) / "activities")  # its queries are beside it, by folder

HALTS = Queries(_PACKAGE, "halts/halts.sql")
PEOPLE = Queries(_PACKAGE, "identity/principals.sql")
POLICIES = Queries(_PACKAGE, "policy/cedar/policies.sql")
AGENTS = Queries(_PACKAGE, "agents/agents.sql")


def halts(as_json: bool) -> None:
    """`stanchion halts`."""
    names = ("scope", "target", "by", "proof", "reason", "at", "lift_ordered_by")
    rows = [{"halt": row["halt_id"]} | {name: row[name] for name in names} for row in _rows(HALTS, "active")]
    table(rows, ("halt", *names), as_json=as_json, empty="no halt is in force")


def principals(tenant: str | None, as_json: bool) -> None:
    """`stanchion principals list`."""
    columns = ("name", "tenant", "roles", "slack_user", "added_by", "added_at", "revoked_at")
    found = _rows(PEOPLE, "principals", tenant=tenant)
    rows = [{name: row[name] for name in columns} | {"roles": sorted(row["roles"])} for row in found]
    table(rows, columns, as_json=as_json, empty=NOBODY)


def keys(tenant: str | None, as_json: bool) -> None:
    """`stanchion keys list`."""
    shown = ("key", "kind", "principal", "tenant", "added_by", "added_at", "revoked_at")
    every = ("key", "public_key", "kind", "tenant", "principal", "added_by", "added_at", "revoked_at")
    rows = [
        {name.removesuffix("_key"): _text(row[name]) for name in every} for row in _rows(PEOPLE, "keys", tenant=tenant)
    ]
    table(rows, shown, as_json=as_json, empty="no keys yet; `stanchion keys new NAME` makes one")


def policy(scope: str, version: str | None, as_json: bool) -> None:
    """`stanchion policy show`: the text alone, so that it can be written to a file."""

    async def work() -> dict[str, Any]:
        async with store() as database:
            if version is not None:
                return await policy_version(database, version)
            for row in await POLICIES["all_in_force"].rows(database):
                if row["scope"] == scope:
                    return dict(row)
            raise _missing(f"no policy is in force for {scope!r}")

    row = run(work())
    if as_json:
        return show(row, as_json=True)
    say(f"{row['scope']} {row['version'][:12]}, money floor {row['money_floor']}, set by {row['by']}")
    sys.stdout.write(row["text"])


async def policy_version(database: Database, prefix: str) -> dict[str, Any]:
    """The version that begins so. Raises PolicyMissing."""
    rows = await POLICIES["find"].rows(database, prefix=prefix)
    if len(rows) == 1:
        return dict(rows[0])
    if rows:
        names = ", ".join(row["version"][:12] for row in rows)
        raise _missing(f"{prefix!r} begins several versions; say more of it: {names}", list_them=False)
    raise _missing(f"no policy version begins with {prefix!r}")


def agents(as_json: bool) -> None:
    """`stanchion agents ls`."""
    columns = ("name", "version", "model", "mode", "tools", "description")
    rows = [_agent(row) for row in _rows(AGENTS, "all")]
    table(rows, columns, as_json=as_json, empty="no agents yet; `stanchion agents add FILE` registers one")


def _agent(row: Mapping[str, Any]) -> dict[str, Any]:
    said = json.loads(row["definition"])  # stored whole, defaults included
    return {
        "name": row["name"],
        "version": row["version"][:12],
        "model": said["model"],
        "mode": said["mode"],
        "tools": len(json.loads(row["tools"])),
        "description": said["description"],
    }


def _rows(queries: Queries, name: str, **given: Any) -> list[dict[str, Any]]:
    async def work() -> list[dict[str, Any]]:
        async with store() as database:
            return [dict(row) for row in await queries[name].rows(database, **given)]

    return run(work())


def _missing(message: str, *, list_them: bool = True) -> Exception:
    from activities.policy.cedar.store import PolicyMissing  # with Cedar: only to say that there is none

    return PolicyMissing(f"{message}; `stanchion policy ls` lists those there are" if list_them else message)


def _text(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
