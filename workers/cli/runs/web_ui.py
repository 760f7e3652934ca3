"""Finds the page of a run in the Web UI; for this home's own server, without the Temporal client."""

import os
from pathlib import Path

from workers.services.home import Home

# Where the SDK looks for a configuration file of its own, on Linux, macOS and Windows.
CONFIGURED = (
    "~/.config/temporalio/temporal.toml",
    "~/Library/Application Support/temporalio/temporal.toml",
    "~/AppData/Roaming/temporalio/temporal.toml",
)


def web_ui_of(run_id: str) -> str | None:
    """The run's page, if we know where that is."""
    if os.environ.get("TEMPORAL_ADDRESS"):
        return None  # a server that the environment names has a Web UI that only its operator knows
    home = Home.locate()
    record = home.living("temporal")
    if record is None:
        return None
    if _may_name_another():
        from workers.services.temporal import find_temporal

        service = find_temporal(home)
        if service is None or not service.owned:
            return None
    address, namespace = record.details.get("ui_url"), record.details.get("namespace", "default")
    return page_of(address, namespace, run_id) if address else None


def page_of(address: str, namespace: str, run_id: str) -> str:
    """The page of a run in the Web UI at `address`."""
    return f"{address}/namespaces/{namespace}/workflows/{run_id.replace('/', '%2F')}"


def _may_name_another() -> bool:
    """Whether the environment or a configuration file may name another server."""
    if any(name.startswith("TEMPORAL_") and name != "TEMPORAL_CONFIG_FILE" for name in os.environ):
        return True
    named, base = os.environ.get("TEMPORAL_CONFIG_FILE"), os.environ.get("XDG_CONFIG_HOME")
    files = [named] if named else [*CONFIGURED, *([f"{base}/temporalio/temporal.toml"] if base else [])]
    return any(path.is_file() and path.stat().st_size for path in (Path(file).expanduser() for file in files))
