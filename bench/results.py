"""Results: one JSON file for each benchmark, and the table in docs/performance.md that is made of them."""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

FOLDER = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
LIBRARIES = ("temporalio", "pydantic", "asyncpg", "structlog")


@dataclass(frozen=True)
class Line:
    """One line of the table. `held` is None for a figure without a target."""

    figure: str
    measured: str
    beside: str = ""  # the same of the bare workflow, in the same run
    target: str = ""
    held: bool | None = None


def write(
    folder: Path,
    name: str,
    command: str,
    figures: Mapping[str, Any],
    lines: Iterable[Line],
    versions: Mapping[str, str],
) -> Path:
    """Store one benchmark's result; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": machine(versions),
        "figures": figures,
        "lines": [asdict(line) for line in lines],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return path


def machine(versions: Mapping[str, str]) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
        **versions,
    }


def table(folder: Path) -> str:
    """The lines of all results, in Markdown."""
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    rows = ["| benchmark | figure | measured | bare | target | held |", "| --- | --- | --- | --- | --- | --- |"]
    for result in stored:
        for line in result["lines"]:
            held = {True: "yes", False: "**no**", None: ""}[line["held"]]
            cells = (result["benchmark"], line["figure"], line["measured"], line["beside"], line["target"], held)
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join([*rows, "", *_machines(stored)])


def _machines(stored: list[dict[str, Any]]) -> list[str]:
    """On what and when, once for each set-up that differs."""
    seen: dict[str, list[str]] = {}
    for result in stored:
        facts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in result["machine"].items())
        seen.setdefault(f"{result['date'][:10]}: {facts}", []).append(result["benchmark"])
    return [f"Measured {facts} ({', '.join(names)})." for facts, names in seen.items()]


def rewrite(page: Path, folder: Path) -> None:
    """Put the table between the markers of `page`. Raises ValueError if they are not there."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} has no {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n{table(folder)}\n{END}{after}", encoding="utf-8")
