"""`make profile`: worker CPU of one step by layer, beside the bare workflow; and its SQL statements.

    python -m bench.profile [--steps 200] [--functions 25]

Answers at once where the time goes, so that the next person looks there first. `python -m bench step --profile FOLDER`
writes a tracing profile of every function, whose proportions are less to be trusted.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench.sampling import CORE, ELSEWHERE, JSON, LOGS, LOOP, OURS, SDK, difference
from bench.sampling import DRIVER as SQL_DRIVER
from bench.site import BARE, COMMITTING, Site, site
from bench.site import OURS as STANCHION

KINDS = (STANCHION, BARE, COMMITTING)
ROUNDS = 3
FOREIGN = (CORE, SDK, LOOP, SQL_DRIVER, JSON, LOGS, ELSEWHERE)
POLLS = frozenset(("active", "SELECT 1"))  # sent by the clock, not by the step: for halts, and for the pool
WARM = 20  # steps, so that connections, prepared statements and imports are not in the figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 measured, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="CPU of a step by layer.")
    parser.add_argument("--steps", type=int, default=100, help="of each run; three runs of each kind, in turn")
    parser.add_argument("--functions", type=int, default=25, help="how many functions to list")
    given = parser.parse_args(arguments)
    print("\n".join(asyncio.run(_measure(given.steps, given.functions))))
    return 0


async def _measure(steps: int, functions: int) -> list[str]:
    async with site() as opened:
        found = await layers(opened, steps, ROUNDS)
        sent = await statements(opened, steps)
    return [*_by_layer({kind: found[kind]["layers"] for kind in KINDS}), "",
            *_table("ours, with all that it calls", found[STANCHION]["ours"]), "",
            *_table(f"the {functions} dearest functions", found[STANCHION]["functions"], functions), "",
            *_table(f"the {functions} dearest callers of what is not ours", found[STANCHION]["asked"], functions), "",
            *_table("SQL statements per step, as the driver sends them", sent, unit="")]  # fmt: skip


async def layers(site: Site, steps: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of CPU for one step, by kind of worker and layer."""
    workers = {kind: await site.worker(kind, measure="layers") for kind in KINDS}
    for worker in workers.values():
        await site.run(worker, WARM)
    before = {kind: await workers[kind].reading() for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS if number % 2 == 0 else tuple(reversed(KINDS)):
            await site.run(workers[kind], steps)
    found = {kind: difference(await workers[kind].reading(), before[kind]) for kind in KINDS}
    for worker in workers.values():
        await worker.stop()
    each = 1_000 / (steps * rounds)
    return {kind: {part: {key: value * each for key, value in of.items()} for part, of in parts.items()}
            for kind, parts in found.items()}  # fmt: skip


async def statements(site: Site, steps: int) -> dict[str, float]:
    """Statements that one more step sends, by the name of the query. Opening and closing a run are not in it."""
    worker = await site.worker(STANCHION, measure="statements")
    counts = []
    await site.run(worker, WARM)
    for length in (WARM, WARM + steps):
        before = await worker.reading()
        await site.run(worker, length)
        counts.append(difference(await worker.reading(), before)["statements"])
    await worker.stop()
    short, long = counts
    each = {name: (count - short.get(name, 0)) / steps for name, count in long.items()}
    return {name: count for name, count in each.items() if count > 1 / WARM}


def _by_layer(kinds: Mapping[str, Mapping[str, float]]) -> list[str]:
    ours = sorted((name for name in kinds[STANCHION] if name.startswith(OURS)), key=lambda n: -kinds[STANCHION][n])
    rows = [f"{'ms of CPU per step':<34}" + "".join(f"{kind:>12}" for kind in KINDS)]
    for name in (*FOREIGN, *ours):
        values = [kinds[kind].get(name, 0.0) for kind in KINDS]
        if any(value >= 0.005 for value in values):
            rows.append(f"{name:<34}" + "".join(f"{value:>12.2f}" for value in values))
    total = [sum(kinds[kind].values()) for kind in KINDS]
    return [*rows, f"{'worker process':<34}" + "".join(f"{value:>12.2f}" for value in total)]


def _table(title: str, values: Mapping[str, Any], most: int = 40, unit: str = " ms") -> list[str]:
    rows = sorted(values.items(), key=lambda item: -item[1])[:most]
    in_all = [f"{'all':<72}{sum(values.values()):>8.2f}{unit}"]
    return [title, *(f"{name:<72}{value:>8.2f}{unit}" for name, value in rows), *in_all]


if __name__ == "__main__":
    sys.exit(main())
