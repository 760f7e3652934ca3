"""What the decoy counted -> figures. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from activities.drills.decoy import TICK_SECONDS, Hit
from workflows.contracts.drills import HARD_SECONDS


@dataclass(frozen=True)
class Figures:
    """What a drill saw. Seconds from the order to halt until a run's last effect."""

    acting: int
    p50: float
    p99: float
    longest: float
    late: int


def figures_of(
    hits: Sequence[Hit],
    ordered: float,
    committed: float,
    in_flight: Iterable[tuple[str, str]],
    decoys: Sequence[str] = (),
) -> Figures:
    """The figures of a drill. All times are the decoy's. What a decoy's sub-agent did counts for the decoy.

    An effect is late if it came after the halt had committed and its call was not in flight by then, or if it came more
    than `HARD_SECONDS` after the order, in flight or not.
    """
    begun = frozenset(in_flight)
    whose = {run_id: _decoy_of(run_id, decoys) for run_id in {hit.run_id for hit in hits}}
    acting = {whose[hit.run_id] for hit in hits if hit.at < ordered}
    last: dict[str, float] = {}
    for hit in hits:
        decoy = whose[hit.run_id]
        last[decoy] = max(last.get(decoy, hit.at), hit.at)
    seconds = sorted(max(last[run_id] - ordered, 0.0) for run_id in acting)
    return Figures(
        acting=len(acting),
        p50=quantile(seconds, 0.5),
        p99=quantile(seconds, 0.99),
        longest=seconds[-1] if seconds else 0.0,
        late=sum(is_late(hit, ordered, committed, begun) for hit in hits),
    )


def is_late(hit: Hit, ordered: float, committed: float, begun: frozenset[tuple[str, str]]) -> bool:
    """Whether an effect should not have happened any more. A model that is being asked claims nothing."""
    if hit.at > ordered + HARD_SECONDS:
        return True
    return hit.at > committed and hit.call_id != "model" and (hit.run_id, hit.call_id) not in begun


def is_of(run_id: str, decoy: str) -> bool:
    """Whether it is this decoy, or a sub-agent of it: the key of one begins with the run that it works for."""
    key = run_id.rsplit("/", 1)[-1]
    return run_id == decoy or key.startswith(f"{decoy.removeprefix('agent/').replace('/', '.')}.")


def _decoy_of(run_id: str, decoys: Sequence[str]) -> str:
    return next((decoy for decoy in decoys if is_of(run_id, decoy)), run_id)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; 0 of none."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0


def in_words(seconds: float) -> str:
    """A figure for people, no finer than what was measured: a decoy acts once a tick."""
    return f"less than {TICK_SECONDS} s" if seconds < TICK_SECONDS else f"{seconds:.2f} s"
