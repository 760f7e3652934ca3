"""The ledger: reserve before something starts, settle or release after. Calls the SQL functions that write it.

The statements of calls, steps and runs call the same functions, so that a hold and what it is for are one commit.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from activities.ledger.windows import Window
from activities.storage.canonical import canonical_json
from activities.storage.database import Database
from activities.storage.queries import Queries

SQL = Queries(__file__, "ledger.sql")

USED_UP = "SL001"  # what ledger_reserve raises
NOTHING_BUT_A_CALL = canonical_json({"*": 0, "calls": 1})  # the tool said no: no money moved, nobody was written to


@dataclass(frozen=True)
class Ledger:
    """The ledger in Postgres."""

    database: Database

    async def reserve(
        self, hold: str, run_id: str, windows: Sequence[Window], *, seconds: float
    ) -> Mapping[str, int] | None:
        """Reserve from all windows, or from none. None: it is reserved now.

        A hold that is there already keeps what it has: the least of each unit is returned. After `seconds` a hold is
        looked after (`reconcile`), and counted all the same. Raises CapReached, StoreUnavailable.
        """
        with naming_breaches(windows):
            row = await SQL["reserve"].row(
                self.database, hold=hold, run_id=run_id, wanted=window_arguments(windows), seconds=seconds
            )
        return json.loads(row["held"]) if row and row["held"] else None

    async def settle(self, hold: str, used: Mapping[str, int] | None = None) -> bool:
        """Say what was used, by unit ('*' is every other unit); what is not named was used as it was reserved.

        Idempotent: False if the hold was settled before, or never made. Raises StoreUnavailable.
        """
        row = await SQL["settle"].row(self.database, hold=hold, used=None if used is None else canonical_json(used))
        return bool(row and row["settled"])

    async def release(self, hold: str) -> bool:
        """Nothing was used, for certain. Idempotent, and no effect on what was settled. Raises StoreUnavailable."""
        row = await SQL["release"].row(self.database, hold=hold)
        return bool(row and row["released"])

    async def reconcile(self) -> int:
        """End or mark lost every hold that nobody ended in its time; how many. One at a time, so that none waits."""
        count, after = 0, ""
        while rows := await SQL["overdue"].rows(self.database, after=after):
            for row in rows:
                await SQL["resolve"].row(self.database, hold=row["hold_id"], run_is_over=row["run_is_over"])
            count, after = count + len(rows), rows[-1]["hold_id"]
        return count


def window_arguments(windows: Sequence[Window]) -> str | None:
    """Windows as the functions take them; None where nothing is to be reserved."""
    if not windows:
        return None
    return json.dumps(
        [
            {
                "n": n,
                "tenant": each.tenant,
                "scope": each.scope,
                "key": each.key,
                "unit": each.unit,
                "class": each.call_class,
                "period": each.period,
                "cap": each.cap,
                "amount": each.amount,
                **({"members": each.members} if each.members is not None else {}),
            }
            for n, each in enumerate(windows)
        ]
    )


@contextmanager
def naming_breaches(windows: Sequence[Window]) -> Iterator[None]:
    """Turns what ledger_reserve raises into CapReached, with what is left of which window."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate != USED_UP:
            raise
        said = json.loads(error.detail)
        raise windows[said["n"]].refusal(used=said["used"], reserved=said["reserved"], amount=said["amount"]) from None
