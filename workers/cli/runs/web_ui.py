"""Finds a run's page in the Web UI of this home's own server, without Temporal's SDK if possible."""

import os
from pathlib import Path

from workers.services.home import Home

# Where the SDK looks for its configuration file on Linux, macOS and Windows.
CONFIG_FILES = (
    "~/.config/temporalio/temporal.toml",
    "~/Library/Application Support/temporalio/temporal.toml",
    "~/AppData/Roaming/temporalio/temporal.toml",
)


def find_run_page(run_id: str) -> str | None:
    """Return the URL of the run's page, or None if no Web UI is known."""
    if os.environ.get("TEMPORAL_ADDRESS"):
        return None  # we do not know the Web UI of an external server
    home = Home.locate()
    record = home.living("temporal")
    if record is None:
        return None
    if _may_name_external_server():
        from workers.services.temporal import find_temporal

        service = find_temporal(home)
        if service is None or not service.owned:
            return None
    address, namespace = record.details.get("ui_url"), record.details.get("namespace", "default")
    return run_page_url(address, namespace, run_id) if address else None


def run_page_url(address: str, namespace: str, run_id: str) -> str:
    """Return the URL of a run's page in the Web UI at `address`."""
    return f"{address}/namespaces/{namespace}/workflows/{run_id.replace('/', '%2F')}"


def _may_name_external_server() -> bool:
    """Whether the environment or a configuration file may name an external server."""
    if any(name.startswith("TEMPORAL_") and name != "TEMPORAL_CONFIG_FILE" for name in os.environ):
        return True
    named, base = os.environ.get("TEMPORAL_CONFIG_FILE"), os.environ.get("XDG_CONFIG_HOME")
    files = [named] if named else [*CONFIG_FILES, *([f"{base}/temporalio/temporal.toml"] if base else [])]
    return any(path.is_file() and path.stat().st_size for path in (Path(file).expanduser() for file in files))
