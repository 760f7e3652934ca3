"""The ledger: reserves before use, settles or releases after it, by calling the ledger's SQL functions.

The statements that claim calls, steps and runs call the same functions, so that a claim and its hold are one commit.
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

USED_UP = "SL001"  # the SQLSTATE that ledger_reserve raises if a window has too little left
NOTHING_BUT_A_CALL = canonical_json({"*": 0, "calls": 1})  # the use of a call that certainly had no effect


@dataclass(frozen=True)
class Ledger:
    """The ledger in Postgres."""

    database: Database

    async def reserve(
        self, hold: str, run_id: str, windows: Sequence[Window], *, seconds: float
    ) -> Mapping[str, int] | None:
        """Reserve from all windows, or from none; returns None if a new hold was made.

        If the hold exists already, it is not changed; its smallest amount of each unit is returned. A hold that is
        older than `seconds` still counts, but `reconcile` may end it. Raises CapReached, StoreUnavailable.
        """
        with naming_breaches(windows):
            row = await SQL["reserve"].row(
                self.database, hold=hold, run_id=run_id, wanted=window_arguments(windows), seconds=seconds
            )
        return json.loads(row["held"]) if row and row["held"] else None

    async def settle(self, hold: str, used: Mapping[str, int] | None = None) -> bool:
        """Settle a hold with the amounts used, by unit; '*' stands for every other unit.

        A unit without an amount counts as used in full. Returns False if the hold was settled before, or never made, so
        a retry is safe. Raises StoreUnavailable.
        """
        row = await SQL["settle"].row(self.database, hold=hold, used=None if used is None else canonical_json(used))
        return bool(row and row["settled"])

    async def release(self, hold: str) -> bool:
        """End a hold of which certainly nothing was used; returns False if it was ended before, or never made.

        Raises StoreUnavailable.
        """
        row = await SQL["release"].row(self.database, hold=hold)
        return bool(row and row["released"])

    async def reconcile(self) -> int:
        """End every overdue hold, or mark it lost; returns their number.

        Each hold has a statement of its own, so that others do not wait long for its locks.
        """
        count, after = 0, ""
        while rows := await SQL["overdue"].rows(self.database, after=after):
            for row in rows:
                await SQL["resolve"].row(self.database, hold=row["hold_id"], run_is_over=row["run_is_over"])
            count, after = count + len(rows), rows[-1]["hold_id"]
        return count


def window_arguments(windows: Sequence[Window]) -> str | None:
    """The windows as the JSON that ledger_reserve takes; None if there are none."""
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
    """Turn the error of ledger_reserve into CapReached, which says how much is left of which window."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate != USED_UP:
            raise
        full = json.loads(error.detail)
        raise windows[full["n"]].refusal(used=full["used"], reserved=full["reserved"], amount=full["amount"]) from None
