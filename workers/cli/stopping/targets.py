"""Looks up the target of a halt or a resume: whether it exists, and its state.

A halt of an unknown target is still ordered, because the target may appear later; a warning points out a possible typo.
"""

import difflib
import json
from typing import Any

from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.tools.registry import BUILTIN
from workers.cli.output import Exit, fail, say
from workflows.contracts.halts import HaltScope

SQL = Queries(__file__, "targets.sql")


async def typo_warning(database: Database, scope: HaltScope, target: str) -> str | None:
    """Return a warning if the target does not exist, with the closest existing name; else None."""
    match scope:
        case "fleet":
            return None
        case "run":
            known = [row["name"] for row in await SQL["run"].rows(database, name=target)]
            warning = "no run of this name was opened yet; if one is opened later, it is halted"
        case "agent":
            known = [row["name"] for row in await SQL["agents"].rows(database)]
            warning = f"no agent is called {target!r}"
        case "tool":
            known = [*BUILTIN, *(row["name"] for row in await SQL["tools"].rows(database))]
            warning = f"no agent has a tool called {target!r}"
        case "tenant":
            known = [row["name"] for row in await SQL["tenants"].rows(database)]
            warning = f"no run and no person is of a tenant called {target!r}"
    if target in known:
        return None
    close = difflib.get_close_matches(target, known, n=1)
    return warning + (f"; did you mean {close[0]!r}?" if close else "")


async def find_outcome(database: Database, run_id: str) -> dict[str, Any] | None:
    """Return the stored outcome of a run, or None if it is open or does not exist."""
    row = await SQL["outcome"].row(database, run_id=run_id)
    return dict(json.loads(row["outcome"])) if row and row["outcome"] else None


async def fail_if_over(database: Database, run_id: str) -> None:
    """Exit with the run's outcome if it is over, because it cannot receive signals any more."""
    if outcome := await find_outcome(database, run_id):
        ended = f"{outcome['status']}: {outcome['reason']}"
        fail(f"{run_id} is over ({ended}); start it again under another key", Exit.REFUSED)


async def active_halt_ids(database: Database, run_id: str) -> str:
    """Return the ids of the halts in force on the run, separated by spaces; empty if there are none."""
    return " ".join(row["halt_id"] for row in await SQL["halts_on"].rows(database, run_id=run_id))


async def warn_if_halted(database: Database, run_id: str) -> bool:
    """Print the halts in force on the run, and the command that lifts each. Returns whether there are any."""
    rows = await SQL["halts_on"].rows(database, run_id=run_id)
    for row in rows:
        option = "--fleet" if row["scope"] == "fleet" else f"--{row['scope']} {row['target']}"
        say(f"stanchion: {row['halt_id']} still halts it: `stanchion resume {option}` lifts that")
    return bool(rows)
