"""`python -m bench [name …] [--quick] [--results FOLDER]`: runs benchmarks, stores results, renews the table."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from bench import cli, history, ledger, long, parked, policy, results, resume, settle, start, step, throughput
from bench.results import Line
from bench.site import Site, say, site

Benchmark = Callable[[Site, bool], Awaitable[tuple[dict[str, Any], list[Line]]]]
BENCHMARKS: dict[str, Benchmark] = {
    "cli": cli.measure,
    "policy": policy.measure,
    "settle": settle.measure,
    "ledger": ledger.measure,
    "history": history.measure,
    "start": start.measure,
    "step": step.measure,
    "throughput": throughput.measure,
    "long": long.measure,
    "resume": resume.measure,
    "parked": parked.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 measured, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the figures of docs/performance.md.")
    parser.add_argument("name", nargs="*", help=f"which: {', '.join(BENCHMARKS)}; all of them if none is named")
    parser.add_argument("--quick", action="store_true", help="less of everything, to see that it runs; no figures")
    parser.add_argument("--profile", type=Path, help="existing folder for a profile of each worker; spoils the figures")
    parser.add_argument("--results", type=Path, help="folder for the JSON files instead of bench/results")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.name if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    names = [name for name in BENCHMARKS if name in (given.name or BENCHMARKS)]
    # What --quick finds is no figure, so it never lands beside the real ones.
    folder = given.results or (Path(tempfile.mkdtemp(prefix="bench-quick-")) if given.quick else results.FOLDER)
    asyncio.run(_measure(names, given.quick, folder, given.profile))
    if folder == results.FOLDER:
        results.rewrite(results.PAGE, folder)
    print(results.table(folder))
    return 0


async def _measure(names: Sequence[str], quick: bool, folder: Path, profiles: Path | None) -> None:
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this
    loop.add_signal_handler(signal.SIGTERM, this.cancel)  # so that what was started is stopped
    async with site(profiles) as opened:
        for name in names:
            say(f"{name} …")
            began = time.monotonic()
            figures, lines = await BENCHMARKS[name](opened, quick)
            command = f"python -m bench {name}{' --quick' if quick else ''}"
            path = results.write(folder, name, command, figures, lines, opened.versions)
            say(f"{name}: {time.monotonic() - began:.0f} s, {path}")


if __name__ == "__main__":
    sys.exit(main())
