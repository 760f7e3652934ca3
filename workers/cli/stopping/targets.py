"""Looks up the target of a halt or a resume: whether it exists, and its state. Stops nothing.

A halt of something that is not there is ordered all the same: it may be on its way. But whoever mistyped is told.
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


async def doubt(database: Database, scope: HaltScope, target: str) -> str | None:
    """Why this halt may hit nothing, with what may have been meant; None if there is such a thing."""
    match scope:
        case "fleet":
            return None
        case "run":
            known = [row["name"] for row in await SQL["run"].rows(database, name=target)]
            said = "no run of this name was opened yet; one that is finds the halt"
        case "agent":
            known = [row["name"] for row in await SQL["agents"].rows(database)]
            said = f"no agent is called {target!r}"
        case "tool":
            known = [*BUILTIN, *(row["name"] for row in await SQL["tools"].rows(database))]
            said = f"no agent has a tool called {target!r}"
        case "tenant":
            known = [row["name"] for row in await SQL["tenants"].rows(database)]
            said = f"no run and no person is of a tenant called {target!r}"
    if target in known:
        return None
    close = difflib.get_close_matches(target, known, n=1)
    return said + (f"; did you mean {close[0]!r}?" if close else "")


async def outcome_of(database: Database, run_id: str) -> dict[str, Any] | None:
    """How a run ended, as its tables have it; None while it is open, or if there is none."""
    row = await SQL["outcome"].row(database, run_id=run_id)
    return dict(json.loads(row["outcome"])) if row and row["outcome"] else None


async def expect_open(database: Database, run_id: str) -> None:
    """Fail if the run is over, with how it ended: it hears nothing any more."""
    if outcome := await outcome_of(database, run_id):
        ended = f"{outcome['status']}: {outcome['reason']}"
        fail(f"{run_id} is over ({ended}); start it again under another key", Exit.REFUSED)


async def halts_over(database: Database, run_id: str) -> str:
    """The ids of the halts that keep the run from going on; empty if none does."""
    return " ".join(row["halt_id"] for row in await SQL["halts_on"].rows(database, run_id=run_id))


async def say_if_halted(database: Database, run_id: str) -> bool:
    """Say which halts keep the run from going on, whatever it is told, and what lifts them; whether there are any."""
    rows = await SQL["halts_on"].rows(database, run_id=run_id)
    for row in rows:
        lifts = "--fleet" if row["scope"] == "fleet" else f"--{row['scope']} {row['target']}"
        say(f"stanchion: {row['halt_id']} still halts it: `stanchion resume {lifts}` lifts that")
    return bool(rows)
