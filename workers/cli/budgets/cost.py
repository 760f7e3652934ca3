"""The body of `cost`, which shows the amounts spent, reserved and left, and the spending of the last hour."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.cli.database_session import find_run_id, open_database
from workers.cli.output import Exit, echo, fail, run, say, show, table
from workflows.contracts.money import micros_to_usd

SQL = Queries(__file__, "cost.sql")

GROUPS = ("agent", "tenant", "model", "tool")
PERIODS = ("hour", "day", "month", "total")
WATCH_SECONDS = 2.0
USD = ("spent", "reserved", "left", "per_hour")
MODEL_COLUMNS = ("name", "spent", "reserved", "left", "per_hour", "tokens", "steps", "open")
TOOL_COLUMNS = ("name", "calls", "under_way", "unknown", "refused", "per_hour", "money")
WINDOW_COLUMNS = ("scope", "unit", "class", "period", "cap", "spent", "reserved", "left")
CLEAR = "\x1b[2J\x1b[H"


def cost(name: str | None, chosen: Sequence[str], per: str, watch: bool, as_json: bool) -> None:
    """`stanchion cost`."""
    if len(chosen) > 1:
        fail(f"one of --{', --'.join(GROUPS)}, not several", Exit.USAGE)
    if per not in PERIODS:
        fail(f"--per is one of {', '.join(PERIODS)}", Exit.USAGE)
    run(_cost(name, chosen[0] if chosen else "run", per, watch, as_json))


async def _cost(name: str | None, by: str, per: str, watch: bool, as_json: bool) -> None:
    async with open_database() as database:  # without Temporal, because people also look at costs while it is down
        if name is not None and by == "run":
            name = await find_run_id(database, name)
        while True:
            report = await read_cost(database, name, by, per)
            if watch and not as_json and sys.stdout.isatty():
                sys.stdout.write(CLEAR)
            _print(report, by, as_json)
            if not watch:
                return
            await asyncio.sleep(WATCH_SECONDS)


async def read_cost(database: Database, name: str | None, by: str, per: str) -> dict[str, Any]:
    """Return the rows of a group and, if `name` is given, its current windows.

    The report of a single run always covers its whole life, whatever `per` is.
    """
    since = "total" if by == "run" and name is not None else per
    if by == "tool":
        rows = [dict(row) for row in await SQL["tools"].rows(database, per=since, name=name)]
        rows = [row | {"money": json.loads(row["money"])} for row in rows]
    else:
        rows = [dict(row) for row in await SQL["models"].rows(database, by=by, per=since, name=name)]
        rows = [row | {column: _usd(row[column]) for column in USD} for row in rows]
    windows = []
    if name is not None and by != "model":
        windows = [dict(row) for row in await SQL["windows"].rows(database, by=by, name=name)]
    return {"by": by, "per": since, "rows": rows, "windows": windows}


def _print(report: dict[str, Any], by: str, as_json: bool) -> None:
    if as_json:
        return show(report, as_json=True)
    if report["per"] != "total":
        say(f"since the start of the {report['per']} (UTC); per hour: the last sixty minutes; in USD, except for tools")
    columns = TOOL_COLUMNS if by == "tool" else MODEL_COLUMNS
    table(report["rows"], columns, as_json=False, empty="nothing was used")
    if report["windows"]:
        echo("\nbudgets")
        table([_in_usd(window) for window in report["windows"]], WINDOW_COLUMNS, as_json=False, empty="")


def _in_usd(window: dict[str, Any]) -> dict[str, Any]:
    """Return a window with its micro-usd amounts in USD, for tables; JSON output keeps micro-usd."""
    if window["unit"] != "micro-usd":
        return window
    return window | {"unit": "usd"} | {column: _usd(window[column]) for column in ("cap", "spent", "reserved", "left")}


def _usd(micros: int | None) -> str | None:
    if micros is None:
        return None
    return f"-{micros_to_usd(-micros)}" if micros < 0 else micros_to_usd(micros)
