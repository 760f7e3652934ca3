"""Computes a drill's figures from the effects that the decoy recorded. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from activities.drills.decoy import TICK_SECONDS, Hit
from workflows.contracts.drills import HARD_SECONDS


@dataclass(frozen=True)
class Figures:
    """The figures of a drill. `p50`, `p99`, `longest`: seconds from the order to halt until a run's last effect.

    `acting`: decoys that acted before the halt; `late`: effects that should not have happened.
    """

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
    """The figures of a drill. All times are by the decoy's clock. Effects of a sub-agent count for its decoy.

    An effect is late if it arrived after the halt had committed and its call was not in flight at the commit. Every
    effect is late more than `HARD_SECONDS` after the order.
    """
    begun = frozenset(in_flight)
    decoy_by_run = {run_id: _decoy_of(run_id, decoys) for run_id in {hit.run_id for hit in hits}}
    acting = {decoy_by_run[hit.run_id] for hit in hits if hit.at < ordered}
    last: dict[str, float] = {}
    for hit in hits:
        decoy = decoy_by_run[hit.run_id]
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
    """Whether an effect should not have happened. A model call claims nothing, so only the time limit counts for it."""
    if hit.at > ordered + HARD_SECONDS:
        return True
    return hit.at > committed and hit.call_id != "model" and (hit.run_id, hit.call_id) not in begun


def is_run_of(run_id: str, decoy: str) -> bool:
    """Whether a run is this decoy or its sub-agent: the key of a sub-agent's run begins with that of its parent."""
    key = run_id.rsplit("/", 1)[-1]
    return run_id == decoy or key.startswith(f"{decoy.removeprefix('agent/').replace('/', '.')}.")


def _decoy_of(run_id: str, decoys: Sequence[str]) -> str:
    return next((decoy for decoy in decoys if is_run_of(run_id, decoy)), run_id)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; 0 if there are none."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0


def in_words(seconds: float) -> str:
    """A duration as text, no finer than the decoy's tick."""
    return f"less than {TICK_SECONDS} s" if seconds < TICK_SECONDS else f"{seconds:.2f} s"
