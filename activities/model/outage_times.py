"""When the outage of a model vendor opens, and how long nobody asks then."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OutageTimes:
    """When an outage opens and how its interval grows; in seconds."""

    threshold: int = 5  # failures in a row, of all workers
    quick: float = 60.0  # for so long Temporal tries a call again; a vendor that asks for more is away
    first: float = 30.0
    longest: float = 86_400.0
