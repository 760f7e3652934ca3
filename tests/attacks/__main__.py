"""`python -m tests.attacks`: run the suite on a Temporal and a Postgres of its own. Talk on stderr, one line on stdout.

Exit code 1 if an attack succeeded, a benign task failed, or haste let a tenth of the attacks through.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig

from tests.attacks.catalogue import ATTACKS, BENIGN
from tests.attacks.passes import Report, everything
from tests.attacks.trial import Trials, up
from tests.harness import databases
from tests.harness.stanchion import Stanchion
from workers import loop
from workers.database import prepare_database
from workers.plugin import stanchion_plugin
from workers.services import Home, reach, register_search_attributes, stop_services
from workers.services.postgres import ensure_postgres
from workers.services.temporal import ensure_temporal
from workflows.search import SEARCH_ATTRIBUTES

# The suite acts on nothing that the person who runs it has configured.
OTHERS = frozenset(("DATABASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"))


def main() -> None:
    """Run what was asked for."""
    options = _options()
    if options.list:
        for attack in ATTACKS:
            print(f"{attack.id:<36} {attack.task.agent.name:<18} {attack.task.goal}")
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    report = loop.run(_run(options.only))
    if options.json:
        options.json.write_text(json.dumps(report.details(), indent=1, ensure_ascii=False), encoding="utf-8")
    print(json.dumps(report.line), flush=True)
    raise SystemExit(0 if report.holds else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the catalogue")
    parser.add_argument("--only", metavar="ID", help="this attack and its twin; a prefix such as mail. takes all of it")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what happened in each run")
    return parser.parse_args()


async def _run(only: str | None) -> Report:
    attacks = [one for one in ATTACKS if only is None or one.id.startswith(only)]
    benign = [one.task for one in attacks] if only else list(BENIGN)
    if not attacks:
        raise SystemExit(f"no attack is called {only!r}; --list prints them")
    async with _system() as stanchion:
        return await everything(Trials(stanchion), attacks, benign, _say)


@asynccontextmanager
async def _system() -> AsyncIterator[Stanchion]:
    """Everything up, in a folder of its own; everything down at the end."""
    for name in [name for name in os.environ if name.startswith(("TEMPORAL_", "STANCHION_TOOL_")) or name in OTHERS]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="stanchion-attacks-", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder))
        try:
            async with _opened(home) as stanchion:
                yield stanchion
        finally:
            await stop_services(home)


@asynccontextmanager
async def _opened(home: Home) -> AsyncIterator[Stanchion]:
    temporal, postgres = await asyncio.gather(
        ensure_temporal(home, search_attributes=SEARCH_ATTRIBUTES, prefer_default_ports=False, progress=_say),
        ensure_postgres(home, None, _say),
    )
    await register_search_attributes(await reach(temporal), SEARCH_ATTRIBUTES)
    url = await databases.create(postgres.url)
    await prepare_database(url)
    silent = Runtime(telemetry=TelemetryConfig(logging=None))  # the SDK's core logs to stdout, which has one line
    client = await Client.connect(temporal.address, plugins=[stanchion_plugin()], runtime=silent)
    stanchion = Stanchion.make(client, url)
    try:
        yield await up(stanchion)
    finally:
        await stanchion.close()


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
