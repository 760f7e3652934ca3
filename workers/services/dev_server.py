"""The Temporal dev server of a home: how it is started, with which settings, on which ports. Waits for nothing.

It keeps its data and its port over a crash, so that workers find it again by themselves.
"""

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

from workers.services.home import Home, Progress, Record
from workers.services.processes import spawn
from workers.services.temporal_binary import obtain_temporal_binary

SERVICE = "temporal"
HOST = "127.0.0.1"
# Where the Temporal CLI, the SDK and people expect a dev server; taken when nothing else sits there.
DEFAULT_PORTS = (7233, 8233)
# Without these, SQLite on a file is three to five times slower.
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")
# What makes a dev server behave like a real one: each of these misleads a developer when left at its default.
DYNAMIC_CONFIG = (
    'history.timerProcessorMaxTimeShift="20ms"',  # else every timer is rounded up to a second
    "history.transferProcessorMaxPollRPS=2000",  # else 20 per second on the only shard: 100 ms for each activity
    "system.enableActivityEagerExecution=true",  # off by default, and what saves a round trip for each activity
    "matching.enableFairness=true",  # else priority and fairness keys are accepted and ignored
    "matching.numTaskqueueReadPartitions=1",  # fairness holds within one partition
    "matching.numTaskqueueWritePartitions=1",
)


async def find_or_start(
    home: Home, namespace: str, search_attributes: Mapping[str, str], prefer_default_ports: bool, progress: Progress
) -> Record:
    """This home's living dev server, or one started just now, the same for all who ask; it may not answer yet."""
    if living := home.living(SERVICE):
        return living
    binary = await obtain_temporal_binary(progress)  # minutes on a fresh machine, so outside of the lock
    async with home.locked(SERVICE):
        if living := home.living(SERVICE):
            return living
        ports = _free_ports(_ports_before(home) or (DEFAULT_PORTS if prefer_default_ports else (0, 0)))
        address, ui_url = f"{HOST}:{ports[0]}", f"http://{HOST}:{ports[1]}"
        progress(f"Starting Temporal on {address} (web UI: {ui_url}) …")
        pid = spawn(_command(binary, home, namespace, search_attributes, ports), home.log(SERVICE))
        details = {"namespace": namespace, "ui_url": ui_url, "port": str(ports[0]), "ui_port": str(ports[1])}
        record = Record.of(pid, home.temporal_db, address, details)
        home.write(SERVICE, record)
        return record


def _command(
    binary: Path, home: Home, namespace: str, search_attributes: Mapping[str, str], ports: tuple[int, int, int]
) -> list[str]:
    frontend, ui, metrics = (str(port) for port in ports)
    return [
        *(str(binary), "server", "start-dev", "--ip", HOST, "--log-level", "error"),
        *("--port", frontend, "--ui-port", ui, "--metrics-port", metrics),
        *("--db-filename", str(home.temporal_db), "--namespace", namespace),
        *(part for pragma in PRAGMAS for part in ("--sqlite-pragma", pragma)),
        *(part for value in DYNAMIC_CONFIG for part in ("--dynamic-config-value", value)),
        *(part for name, kind in search_attributes.items() for part in ("--search-attribute", f"{name}={kind}")),
    ]


def _ports_before(home: Home) -> tuple[int, int] | None:
    """Where the server was when it last ran: workers and open browser tabs look for it there."""
    details = record.details if (record := home.read(SERVICE)) else {}
    return (int(details["port"]), int(details["ui_port"])) if {"port", "ui_port"} <= details.keys() else None


def _free_ports(wishes: tuple[int, int]) -> tuple[int, int, int]:
    """Ports for the frontend, the web UI and the metrics, all held at once so that they differ, then let go."""
    with contextlib.ExitStack() as held:
        frontend, ui, metrics = (_hold(held, wish) for wish in (*wishes, 0))
    return frontend, ui, metrics


def _hold(held: contextlib.ExitStack, wish: int) -> int:
    holder = held.enter_context(socket.socket())
    # As the server does: connections that are ending do not count.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((HOST, wish))
    except OSError:
        holder.bind((HOST, 0))
    return int(holder.getsockname()[1])
