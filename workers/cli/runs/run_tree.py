"""Arranges runs as a tree: each sub-agent below its parent run. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def as_tree(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, newest run first, with each sub-agent below its parent if that is listed, oldest first."""
    run_ids, children = {row["run_id"] for row in rows}, defaultdict[str | None, list[Row]](list)
    for row in rows:
        children[row["parent_run_id"] if row["parent_run_id"] in run_ids else None].append(row)

    def subtree(parent: str | None, depth: int) -> Iterator[Row]:
        for row in reversed(children[parent]) if depth else children[parent]:
            yield {**row, "run_id": _branch(depth) + row["run_id"]}
            yield from subtree(row["run_id"], depth + 1)

    return list(subtree(None, 0))


def _branch(depth: int) -> str:
    return f"└{'─' * depth} " if depth else ""
