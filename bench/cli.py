"""CPU of each command that only reads: user and system time of the whole process, beside `--help`.

Modules are compiled once, before the first measured round, as they are where Stanchion is installed.
"""

import asyncio
import os
import subprocess
import sys
from statistics import median
from typing import Any

from bench import agent
from bench.results import Line
from bench.site import OURS, Site
from workers.services.home import PROJECT_ROOT

TARGET_SECONDS = 0.5
ROUNDS = 3
HELP = ("--help",)
# `doctor` asks Temporal, and `show` of an open run asks the run: their figures have no target.
READS: tuple[tuple[str, ...], ...] = (
    ("ls",), ("approvals",), ("show", "RUN"), ("logs", "RUN"), ("cost",), ("approvers",), ("agents", "ls"),
    ("agents", "show", agent.NAME), ("policy", "show"), ("policy", "ls"), ("principals", "list"), ("keys", "list"),
    ("halts",), ("caps", "ls"), ("db", "status"),
)  # fmt: skip
UNBOUNDED: tuple[tuple[str, ...], ...] = (("doctor",),)


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Each command in turn, some rounds; the median of each."""
    worker = await site.worker(OURS)
    run_id = await site.run(worker, 2)
    await worker.stop()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"STANCHION_HOME": str(site.root / "home"), "PYTHONPYCACHEPREFIX": str(site.root / "bytecode")}
    taken: dict[tuple[str, ...], list[float]] = {words: [] for words in (HELP, *READS, *UNBOUNDED)}
    for number in range(2 if quick else ROUNDS + 1):
        for words, seconds in taken.items():
            typed = [run_id if word == "RUN" else word for word in words]
            used = await asyncio.to_thread(_cpu_of, typed, env, words not in UNBOUNDED)
            seconds += [used] if number else []  # the first round compiles
    figures = {" ".join(words): round(median(seconds), 3) for words, seconds in taken.items()}
    beside = f"--help {figures['--help']:.2f} s"
    return figures, [_line(words, figures[" ".join(words)], beside) for words in (*READS, *UNBOUNDED)]


def _line(words: tuple[str, ...], seconds: float, beside: str) -> Line:
    figure = f"CPU of `{' '.join(words)}`"
    if words in UNBOUNDED:
        return Line(figure, f"{seconds:.2f} s", beside)
    return Line(figure, f"{seconds:.2f} s", beside, f"≤ {TARGET_SECONDS} s", seconds <= TARGET_SECONDS)


def _cpu_of(words: list[str], env: dict[str, str], must_succeed: bool) -> float:
    """Seconds of CPU of one command. Raises RuntimeError if it failed: the figure of a failed command is none."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", *words],
        cwd=PROJECT_ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if must_succeed and process.returncode != 0:
        raise RuntimeError(f"`{' '.join(words)}` ended with {process.returncode}")
    return used.ru_utime + used.ru_stime
