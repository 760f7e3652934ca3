"""The bodies of `halts`, `principals list`, `keys list`, `policy show` and `agents ls`, which list table rows."""

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import activities
from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.cli.database_session import open_database
from workers.cli.output import run, say, show, table

NOBODY = "nobody is registered yet; `stanchion principals add NAME --role ROLE` registers a person"
_PACKAGE = str(Path(activities.__path__[0]) / "activities")  # `Queries` looks for .sql files beside this path

HALTS = Queries(_PACKAGE, "halts/halts.sql")
PEOPLE = Queries(_PACKAGE, "identity/principals.sql")
POLICIES = Queries(_PACKAGE, "policy/cedar/policies.sql")
AGENTS = Queries(_PACKAGE, "agents/agents.sql")


def halts(as_json: bool) -> None:
    """`stanchion halts`."""
    names = ("scope", "target", "by", "proof", "reason", "at", "lift_ordered_by")
    rows = [{"halt": row["halt_id"]} | {name: row[name] for name in names} for row in _query_rows(HALTS, "active")]
    table(rows, ("halt", *names), as_json=as_json, empty="no halt is in force")


def principals(tenant: str | None, as_json: bool) -> None:
    """`stanchion principals list`."""
    columns = ("name", "tenant", "roles", "slack_user", "added_by", "added_at", "revoked_at")
    people = _query_rows(PEOPLE, "principals", tenant=tenant)
    rows = [{name: row[name] for name in columns} | {"roles": sorted(row["roles"])} for row in people]
    table(rows, columns, as_json=as_json, empty=NOBODY)


def keys(tenant: str | None, as_json: bool) -> None:
    """`stanchion keys list`."""
    table_columns = ("key", "kind", "principal", "tenant", "added_by", "added_at", "revoked_at")
    fields = ("key", "public_key", "kind", "tenant", "principal", "added_by", "added_at", "revoked_at")
    keys = _query_rows(PEOPLE, "keys", tenant=tenant)
    rows = [{name.removesuffix("_key"): _as_text(row[name]) for name in fields} for row in keys]
    table(rows, table_columns, as_json=as_json, empty="no keys yet; `stanchion keys new NAME` makes one")


def policy(scope: str, version: str | None, as_json: bool) -> None:
    """`stanchion policy show`: prints only the text on stdout, so that it can be redirected to a file."""

    async def work() -> dict[str, Any]:
        async with open_database() as database:
            if version is not None:
                return await policy_version(database, version)
            for row in await POLICIES["all_in_force"].rows(database):
                if row["scope"] == scope:
                    return dict(row)
            raise _policy_missing(f"no policy is in force for {scope!r}")

    row = run(work())
    if as_json:
        return show(row, as_json=True)
    say(f"{row['scope']} {row['version'][:12]}, money floor {row['money_floor']}, set by {row['by']}")
    sys.stdout.write(row["text"])


async def policy_version(database: Database, prefix: str) -> dict[str, Any]:
    """Return the row of the policy version that begins with `prefix`. Raises PolicyMissing."""
    rows = await POLICIES["find"].rows(database, prefix=prefix)
    if len(rows) == 1:
        return dict(rows[0])
    if rows:
        names = ", ".join(row["version"][:12] for row in rows)
        raise _policy_missing(f"several versions begin with {prefix!r}; give more of it: {names}", mention_ls=False)
    raise _policy_missing(f"no policy version begins with {prefix!r}")


def agents(as_json: bool) -> None:
    """`stanchion agents ls`."""
    columns = ("name", "version", "model", "mode", "tools", "description")
    rows = [_agent_row(row) for row in _query_rows(AGENTS, "all")]
    table(rows, columns, as_json=as_json, empty="no agents yet; `stanchion agents add FILE` registers one")


def _agent_row(row: Mapping[str, Any]) -> dict[str, Any]:
    definition = json.loads(row["definition"])  # stored with all its defaults
    return {
        "name": row["name"],
        "version": row["version"][:12],
        "model": definition["model"],
        "mode": definition["mode"],
        "tools": len(json.loads(row["tools"])),
        "description": definition["description"],
    }


def _query_rows(queries: Queries, name: str, **parameters: Any) -> list[dict[str, Any]]:
    async def work() -> list[dict[str, Any]]:
        async with open_database() as database:
            return [dict(row) for row in await queries[name].rows(database, **parameters)]

    return run(work())


def _policy_missing(message: str, *, mention_ls: bool = True) -> Exception:
    from activities.policy.cedar.store import PolicyMissing  # imported here because it imports Cedar

    return PolicyMissing(f"{message}; `stanchion policy ls` lists all versions" if mention_ls else message)


def _as_text(value: Any) -> Any:
    """Encode bytes in base64; return other values unchanged."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
