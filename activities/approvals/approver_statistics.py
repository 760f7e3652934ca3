"""Rubber stamps: whether somebody says yes faster than anyone can read. Pure."""

from typing import Any

MOST_FAST = 0.9  # share of all decisions that are a yes within three seconds
FEWEST = 10  # decisions, before anything is said about a habit


def with_warning(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `approvers`, with its rates and, if it looks like a rubber stamp, a warning."""
    decided = row["decided"]
    rates = {"approve_rate": round(row["approved"] / decided, 3), "fast_rate": round(row["fast"] / decided, 3)}
    stamps = decided >= FEWEST and rates["fast_rate"] > MOST_FAST
    warning = f"{rates['fast_rate']:.0%} approved in under three seconds: nobody reads that fast" if stamps else None
    return row | rates | {"warning": warning}
