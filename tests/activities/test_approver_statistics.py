"""Rubber stamps: who says yes faster than anyone reads is named, and nobody else is."""

from datetime import timedelta
from typing import Any

import pytest

from activities.approvals.approver_statistics import FEWEST, with_warning
from activities.approvals.record import SQL
from tests.harness.door import Door

FAST, SLOW = timedelta(seconds=2.9), timedelta(seconds=3)


async def decided(door: Door, count: int, after: timedelta, verdict: str = "approve", proof: str = "signature") -> None:
    """Lee has answered so many questions, each so long after it was asked."""
    run_id = await door.open(await door.publish("send"))
    pool = await door.parts.database.pool()
    await pool.execute(
        "WITH asked AS (INSERT INTO approvals"
        " (approval_id, run_id, call_id, about, tool, arguments, digest, rule, reason)"
        " SELECT $1 || n, $1, n::text, 'call', 'send', '{}', '', '', '' FROM generate_series(1, $2::int) n"
        " RETURNING approval_id, requested_at)"
        " INSERT INTO decisions (approval_id, by, verdict, signed, proof, at)"
        " SELECT approval_id, 'lee', $4, true, $5, requested_at + $3::interval FROM asked",
        run_id, count, after, verdict, proof,
    )  # fmt: skip


async def habit(door: Door) -> dict[str, Any] | None:
    """What `stanchion approvers` says about Lee."""
    rows = [with_warning(dict(row)) for row in await SQL["approvers"].rows(door.parts.database, days=30)]
    assert len(rows) <= 1
    return rows[0] if rows else None


async def test_more_than_nine_in_ten_approved_within_three_seconds_is_warned_about(door: Door) -> None:
    await decided(door, 19, FAST)
    await decided(door, 1, SLOW)
    found = await habit(door)
    assert found is not None
    assert (found["approver"], found["decided"], found["approved"], found["fast"]) == ("lee", 20, 20, 19)
    assert (found["approve_rate"], found["median_seconds"]) == (1.0, 2.9)
    assert found["warning"] == "95% approved in under three seconds: nobody reads that fast"


@pytest.mark.parametrize(
    ("fast", "others", "after", "verdict"),
    [
        (9, 1, SLOW, "approve"),  # nine in ten, and not more
        (9, 1, FAST, "reject"),  # a fast no harms nobody
        (0, 20, SLOW, "approve"),
        (0, 20, FAST, "reject"),
        (FEWEST - 1, 0, FAST, "approve"),  # too few to speak of a habit
    ],
)
async def test_anyone_else_is_not(door: Door, fast: int, others: int, after: timedelta, verdict: str) -> None:
    await decided(door, fast, FAST)
    await decided(door, others, after, verdict)
    found = await habit(door)
    assert found is not None
    assert (found["decided"], found["warning"]) == (fast + others, None)


@pytest.mark.parametrize("proof", ["code", "standing", "agent"])
async def test_what_no_person_decided_there_and_then_counts_for_nobody(door: Door, proof: str) -> None:
    await decided(door, 20, FAST, proof=proof)
    assert await habit(door) is None
