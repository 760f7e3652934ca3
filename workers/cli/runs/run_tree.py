"""Runs as a list for people: each sub-agent below the run that it works for. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def by_line(rows: Sequence[Row]) -> list[Row]:
    """The same runs; a sub-agent stands below the run above it, if that is listed, the first one first."""
    listed, below = {row["run_id"] for row in rows}, defaultdict[str | None, list[Row]](list)
    for row in rows:
        below[row["parent_run_id"] if row["parent_run_id"] in listed else None].append(row)

    def lines(of: str | None, depth: int) -> Iterator[Row]:
        for row in reversed(below[of]) if depth else below[of]:
            yield {**row, "run_id": _mark(depth) + row["run_id"]}
            yield from lines(row["run_id"], depth + 1)

    return list(lines(None, 0))


def _mark(depth: int) -> str:
    return f"└{'─' * depth} " if depth else ""
