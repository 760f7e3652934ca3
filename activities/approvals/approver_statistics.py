"""Detects approvers who approve faster than anyone can read. Pure."""

from typing import Any

MOST_FAST = 0.9  # warn above this share of approvals within three seconds, of all decisions
FEWEST = 10  # decisions that a person must have made before a warning is possible


def with_warning(row: dict[str, Any]) -> dict[str, Any]:
    """Add to a row of the query `approvers` its rates, and a warning if the person approves too fast to have read."""
    decided = row["decided"]
    rates = {"approve_rate": round(row["approved"] / decided, 3), "fast_rate": round(row["fast"] / decided, 3)}
    is_rubber_stamp = decided >= FEWEST and rates["fast_rate"] > MOST_FAST
    warning = (
        f"{rates['fast_rate']:.0%} approved in under three seconds: nobody reads that fast" if is_rubber_stamp else None
    )
    return row | rates | {"warning": warning}
