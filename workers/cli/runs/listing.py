"""The bodies of `ls`, `show` and `logs`. They read our tables; only `show` of an open run asks Temporal."""

import asyncio
import json
from typing import Any

from activities.drills import AGENT as DRILL
from activities.storage.database import Database
from workers.cli.database_session import SQL, find_run_id, open_database
from workers.cli.output import COUNT_LIMIT, echo, run, say, say_how_many_more, show, table
from workers.cli.runs.event_lines import format_event
from workers.cli.runs.run_tree import as_tree
from workers.cli.runs.web_ui import find_run_page

POLL_SECONDS = 0.3


def ls(agent: str | None, open_only: bool, drills: bool, most: int, after: str | None, as_json: bool) -> None:
    """`stanchion ls`."""
    drills = drills or agent is not None

    async def work() -> tuple[list[Any], int, int]:
        async with open_database() as database:
            filters = {"open_only": open_only, "drill": DRILL}
            start = None if after is None else await find_run_id(database, after)
            page = await SQL["runs"].rows(database, agent=agent, drills=drills, most=most, after=start, **filters)
            more, last = 0, page[-1]["run_id"] if len(page) == most else None
            if last is not None:
                rest = {"agent": agent, "drills": drills, "most": COUNT_LIMIT, "after": last}
                more = (await SQL["runs_after"].rows(database, **rest, **filters))[0]["runs"]
            left_out = 0
            if not drills:
                bounds = {"after": start, "last": last if more else None}
                left_out = (await SQL["drilled"].rows(database, **bounds, **filters))[0]["runs"]
            return page, more, left_out

    columns = ("run_id", "status", "steps", "approvals", "tenant", "opened_at")
    page, more, left_out = run(work())
    rows = [dict(row) for row in page]
    if left_out:
        say(f"{left_out} decoys of drills are left out; --drills lists them too")
    table(
        rows if as_json else as_tree(rows),
        columns,
        as_json=as_json,
        empty='no runs yet; `stanchion run it-support "…"` starts one',
    )
    say_how_many_more(rows, "run_id", more)


def show_run(name: str, as_json: bool) -> None:
    """`stanchion show`."""
    data = run(_read_run(name))
    if as_json:
        return show(data, as_json=True)
    calls, approvals, children = data.pop("calls"), data.pop("approvals"), data.pop("children")
    rollbacks, outcome = data.pop("rollbacks"), data.pop("outcome")
    show(data, as_json=False)
    if calls:
        echo("\ncalls")
        table(calls, ("call_id", "tool", "arguments", "state", "rule", "settled_at"), as_json=False, empty="")
    if children:
        echo("\nsub-agents")
        table(children, ("run_id", "call_id", "status", "task"), as_json=False, empty="")
    if approvals:
        echo("\napprovals")
        table(approvals, ("approval_id", "call_id", "tool", "state", "by", "proof", "reason"), as_json=False, empty="")
    if rollbacks:
        echo("\nrollbacks")
        table(rollbacks, ("rollback_id", "to_step", "by", "proof", "status", "reason"), as_json=False, empty="")
    if outcome:
        echo(f"\n{outcome['status']}: {outcome['reason']}\n{outcome['answer']}".rstrip())


async def _read_run(name: str) -> dict[str, Any]:
    async with open_database() as database:
        run_id = await find_run_id(database, name)
        row = await SQL["run"].row(database, run_id=run_id)
        assert row is not None
        data = dict(row) | {
            "budget": json.loads(row["budget"]),
            "outcome": json.loads(row["outcome"]) if row["outcome"] else None,
            "web_ui": find_run_page(run_id),
            "calls": [dict(call) for call in await SQL["calls"].rows(database, run_id=run_id)],
            "children": [dict(c) for c in await SQL["children"].rows(database, run_id=run_id)],
            "rollbacks": [dict(b) for b in await SQL["rollbacks"].rows(database, run_id=run_id)],
            "approvals": [dict(a) for a in await SQL["approvals_of"].rows(database, run_id=run_id)],
        }
        if row["status"] == "open":
            # Imported here because it imports Temporal's SDK, which closed runs do not need.
            from workers.cli.runs.live_status import read_live_status

            data |= await read_live_status(run_id)
        return data


def logs(name: str, follow: bool, as_json: bool) -> None:
    """`stanchion logs`."""

    async def work() -> None:
        async with open_database() as database:
            run_id = await find_run_id(database, name)
            last, is_open = 0, True
            while is_open:
                row = await SQL["run"].row(database, run_id=run_id)
                is_open = follow and row is not None and row["status"] == "open"
                last = await print_events(database, run_id, last, as_json=as_json, to_stdout=True)
                if is_open:
                    await asyncio.sleep(POLL_SECONDS)

    run(work())


async def print_events(database: Database, run_id: str, after: int, *, as_json: bool, to_stdout: bool = False) -> int:
    """Print the events after number `after`; return the number of the last one."""
    for row in await SQL["events"].rows(database, run_id=run_id, after=after):
        event = dict(row) | {"body": json.loads(row["body"])}
        if as_json:
            show(event, as_json=True)
        else:
            echo(format_event(event), stderr=not to_stdout)
        after = row["n"]
    return after
