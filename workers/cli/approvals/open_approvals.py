"""The bodies of `approvals`, which lists open approvals, oldest first, and of `approvers`."""

import json
from typing import Any

from activities import approvals
from activities.approvals.approver_statistics import with_warning
from activities.storage.queries import Queries
from workers.cli.database_session import open_database
from workers.cli.output import COUNT_LIMIT, Exit, fail, run, say_how_many_more, table

SQL = Queries(approvals.__file__, "approvals.sql")


def ls(most: int, after: str | None, as_json: bool) -> None:
    """`stanchion approvals`."""

    async def work() -> tuple[list[dict[str, Any]], int]:
        async with open_database() as database:
            if after is not None and await SQL["run_of"].row(database, approval_id=after) is None:
                fail(f"no approval is called {after!r}", Exit.USAGE)
            rows = [_approval_row(dict(row)) for row in await SQL["open"].rows(database, most=most, after=after)]
            if len(rows) < most:
                return rows, 0
            counted = await SQL["open_after"].rows(database, after=rows[-1]["approval_id"], most=COUNT_LIMIT)
            return rows, counted[0]["approvals"]

    columns = ("approval_id", "about", "tool", "tier", "arguments", "waits_for", "reason", "run_id", "expires_at")
    rows, more = run(work())
    table(rows, columns, as_json=as_json, empty="nothing waits for a person")
    say_how_many_more(rows, "approval_id", more)


def _approval_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with parsed JSON columns, and with `waits_for`: whose answer it still needs."""
    row |= {"arguments": json.loads(row["arguments"]), "origins": json.loads(row["origins"])}
    if row["about"] == "endorse":
        return row | {"waits_for": "a person to restate a value: stanchion endorse"}
    people = f"{len(row['approved_by'])} of {row['needed']}" if row["needed"] > 1 else ""
    roles = f"one of {', '.join(row['roles'])}" if row["roles"] else ""
    code = f"the code of {row['subject']}" if row["subject"] and not row["confirmed_at"] else ""
    waits_for = "; ".join(part for part in (people, roles, code) if part) or "anyone but the requester"
    return row | {"waits_for": f"{waits_for} ({row['review']})" if row["review"] else waits_for}


def approvers(days: int, as_json: bool) -> None:
    """`stanchion approvers`: statistics per approver, with a warning for approvals too fast to have been read."""

    async def work() -> list[dict[str, Any]]:
        async with open_database() as database:
            return [with_warning(dict(row)) for row in await SQL["approvers"].rows(database, days=days)]

    rows = run(work())
    columns = ("approver", "decided", "approved", "fast", "median_seconds", "warning")
    table(rows, columns, as_json=as_json, empty=f"no decisions in the last {days} days")
