"""Record histories against real services: `python -m tests.replay.record [--new] [SCENARIO ...]`.

Writes `histories/<generation>/<scenario>.json` and the fingerprints beside them. Histories that a release has written
must replay for ever: after a release, `--new` opens the next generation and leaves those before it as they are.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog
from temporalio.client import Client, WorkflowHistory

from tests.harness import databases
from tests.harness.stanchion import Stanchion
from tests.replay.commands import commands
from tests.replay.scenarios import SCENARIOS, histories
from workers.database import prepare_database
from workers.plugin import stanchion_plugin
from workers.services import Home, ensure_postgres, ensure_temporal, reach, register_search_attributes, stop_services
from workflows.contracts.runs import RolloverCaps
from workflows.search import SEARCH_ATTRIBUTES

FOLDER = Path(__file__).parent / "histories"
FINGERPRINTS = "fingerprints.json"
AT_THE_LEAST_LENGTH = RolloverCaps(events=1)
# What a recording machine would leave of itself: host names, process ids, stack traces.
PRIVATE = ("identity", "stackTrace", "binaryChecksum")


def generations() -> list[Path]:
    """The folders of histories, oldest first."""
    return sorted(folder for folder in FOLDER.glob("[0-9][0-9]") if folder.is_dir())


def caps_of(name: str) -> RolloverCaps:
    """When the system of a scenario rolls over."""
    return AT_THE_LEAST_LENGTH if name == "rollover" else RolloverCaps()


async def record(names: list[str], folder: Path) -> None:
    """Run these scenarios on services of their own and write down what happened."""
    with tempfile.TemporaryDirectory(prefix="record-", ignore_cleanup_errors=True) as place:
        home = Home(Path(place))
        try:
            temporal = await ensure_temporal(
                home, search_attributes=SEARCH_ATTRIBUTES, prefer_default_ports=False, progress=_say
            )
            await register_search_attributes(await reach(temporal), SEARCH_ATTRIBUTES)
            postgres = await ensure_postgres(home, None, _say)
            client = await Client.connect(temporal.address, plugins=[stanchion_plugin()], identity="recorder")
            for name in names:
                await _record_one(client, postgres.url, name, folder)
        finally:
            await stop_services(home)


async def _record_one(client: Client, postgres: str, name: str, folder: Path) -> None:
    url = await databases.create(postgres)
    await prepare_database(url)
    system = await Stanchion.make(client, url, rollover=caps_of(name)).up()
    try:
        found = await histories(system, name)
    finally:
        await system.close()
    write(folder, found)
    _say(f"{name}: {', '.join(f'{key} ({len(one.events)} events)' for key, one in found.items())}")


def write(folder: Path, found: dict[str, WorkflowHistory]) -> None:
    """Histories and their fingerprints, readable and without a trace of the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FINGERPRINTS
    known: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, history in found.items():
        body = {"workflow_id": history.workflow_id, **_anonymous(json.loads(history.to_json()))}
        (folder / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
        known[name] = commands(history)
    file.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")


def load(file: Path) -> WorkflowHistory:
    """A recorded history."""
    body = json.loads(file.read_text(encoding="utf-8"))
    return WorkflowHistory.from_json(body.pop("workflow_id"), body)


def _anonymous(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "recorder" if key in PRIVATE else _anonymous(item) for key, item in value.items()}
    return [_anonymous(item) for item in value] if isinstance(value, list) else value


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.replay.record", description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], help="all of them, if none is named")
    parser.add_argument("--new", action="store_true", help="open the next generation")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    last = int(generations()[-1].name) if generations() else 1
    folder = FOLDER / f"{last + bool(asked.new):02d}"
    asyncio.run(record(list(asked.scenarios) or list(SCENARIOS), folder))
    sys.stderr.flush()
    os._exit(0)  # the SDK's core sometimes aborts in the interpreter's own exit, after everything is done


if __name__ == "__main__":
    main()
