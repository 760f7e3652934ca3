"""A drill: what is asked for, and what was seen."""

from typing import Literal

from pydantic import Field

from workflows.contracts.base import NAME, WrittenInFull

DrillScope = Literal["agent", "tenant", "fleet"]
HARD_SECONDS = 5.0  # an effect that comes later than this after a halt was ordered is late, whatever its reason
TARGET_SECONDS = 1.0  # what the slowest of a hundred stops is meant to stay under


class DrillRequest(WrittenInFull):
    """Start decoys, halt them, look. Only a `live` drill halts at `scope`; any other halts a tenant of its own."""

    runs: int = Field(default=50, ge=1, le=500)
    scope: DrillScope = "tenant"
    live: bool = False
    by: str = Field(default="drill", min_length=1, max_length=320, pattern=NAME)
    host: str = Field(default="127.0.0.1", max_length=253)  # where tool workers reach the machine that drills
    ready_seconds: float = 180.0  # for all decoys to be at work
    watch_seconds: float = HARD_SECONDS + 1  # how long to look for late effects


class DrillReport(WrittenInFull):
    """What a drill measured, in seconds from the moment the halt was ordered, by the decoy's own clock."""

    drill_id: str
    halt_id: str
    scope: DrillScope
    live: bool
    runs: int
    acting: int  # decoys that were seen to act before the halt, and whose last effect is measured
    kinds: dict[str, int]
    p50_seconds: float
    p99_seconds: float
    max_seconds: float
    order_seconds: float  # until the order had committed; part of the figures above
    effects: int  # all that the decoy counted
    late_effects: int
    in_flight: dict[str, int]  # outcome -> how many of the effects that were in flight
    lifted: bool
    passed: bool
    why: str = ""  # it did not pass
