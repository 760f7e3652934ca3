"""Starts the Temporal dev server of a home, and chooses its settings and ports. Does not wait until it answers.

The server keeps its data and its port after a crash, so that workers reconnect by themselves.
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
# The ports where the Temporal CLI, the SDK and people expect a dev server; used if they are free.
DEFAULT_PORTS = (7233, 8233)
# Without these, SQLite on a file is three to five times slower.
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")
# Settings that make the dev server behave like a production server; the defaults would mislead developers.
DYNAMIC_CONFIG = (
    'history.timerProcessorMaxTimeShift="20ms"',  # the default rounds every timer up to a second
    "history.transferProcessorMaxPollRPS=2000",  # the default of 20 on the only shard costs 100 ms per activity
    "system.enableActivityEagerExecution=true",  # off by default; saves a round trip per activity
    "matching.enableFairness=true",  # by default, priority and fairness keys are accepted and ignored
    "matching.numTaskqueueReadPartitions=1",  # fairness works only within one partition
    "matching.numTaskqueueWritePartitions=1",
)


async def find_or_start(
    home: Home, namespace: str, search_attributes: Mapping[str, str], prefer_default_ports: bool, progress: Progress
) -> Record:
    """Return this home's running dev server, or start it. It may not answer yet. Safe to call concurrently."""
    if living := home.living(SERVICE):
        return living
    binary = await obtain_temporal_binary(progress)  # takes minutes on a new machine, so it is outside the lock
    async with home.locked(SERVICE):
        if living := home.living(SERVICE):
            return living
        ports = _free_ports(_previous_ports(home) or (DEFAULT_PORTS if prefer_default_ports else (0, 0)))
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


def _previous_ports(home: Home) -> tuple[int, int] | None:
    """Return the ports of the server's last start, where workers and open browser tabs look for it."""
    details = record.details if (record := home.read(SERVICE)) else {}
    return (int(details["port"]), int(details["ui_port"])) if {"port", "ui_port"} <= details.keys() else None


def _free_ports(preferred: tuple[int, int]) -> tuple[int, int, int]:
    """Return free ports for the frontend, the web UI and the metrics. All are bound at once, so they differ."""
    with contextlib.ExitStack() as sockets:
        frontend, ui, metrics = (_bind_port(sockets, port) for port in (*preferred, 0))
    return frontend, ui, metrics


def _bind_port(sockets: contextlib.ExitStack, preferred: int) -> int:
    """Bind the preferred port, or any free one if it is taken, until `sockets` is closed. Returns the port."""
    bound = sockets.enter_context(socket.socket())
    # The server sets the same option: a port with closing connections counts as free.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, preferred))
    except OSError:
        bound.bind((HOST, 0))
    return int(bound.getsockname()[1])
