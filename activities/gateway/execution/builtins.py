"""Implements the built-in tools `wait` and `read_output`; unlike other tools they read the gateway's own tables."""

from datetime import datetime, timedelta
from typing import Any

from activities.gateway.execution.results import Result, from_error, page_of
from activities.gateway.facts import SQL
from activities.storage.database import Database


def wait_until(arguments: dict[str, Any], now: datetime) -> datetime:
    """The time at which a wait ends."""
    return now + timedelta(minutes=float(arguments["minutes"]))


def woke_up(until: datetime, now: datetime) -> str:
    """What the model reads after a wait."""
    early = (until - now).total_seconds()
    if early > 1:
        return f"Woken {early / 60:.1f} minutes early, at {now:%Y-%m-%d %H:%M} UTC: someone wrote to you."
    return f"The wait is over; it is {now:%Y-%m-%d %H:%M} UTC."


async def read_output(database: Database, run_id: str, call_id: str, page: int) -> Result:
    """One page of an earlier output of the same run; it keeps the origin and the suspect mark of that output."""
    row = await SQL["output"].row(database, run_id=run_id, call_id=call_id)
    if row is None:
        return from_error(f"this run has no call {call_id!r} with a result")
    if row["text"] is None:
        return from_error(f"the result of call {call_id} is shown whole in the transcript; there is nothing more")
    try:
        text = page_of(row["text"], page)
    except ValueError as error:
        return from_error(str(error))
    return Result(text, False, row["origin"], len(text), suspect=row["suspect"])
