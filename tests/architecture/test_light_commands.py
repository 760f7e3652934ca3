"""What commands that only read import: their answers stand in Postgres, so no client of anything else is loaded."""

import json
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

# What takes a tenth of a second of CPU or more to import. A command answers within half a second of it.
CLIENTS = ("temporalio", "anthropic", "opentelemetry", "aiohttp", "rich", "workers.worker", "workers.plugin")
CONTRACTS = ("pydantic", "cedarpy", "cryptography", "structlog")
# Module of the command's body, and what it does without.
BODIES = {
    "runs.listing": (*CLIENTS, *CONTRACTS),  # ls, show, logs
    "approvals.open_approvals": (*CLIENTS, *CONTRACTS),  # approvals, approvers
    "registries": (*CLIENTS, *CONTRACTS),  # halts, principals list, keys list, policy show, agents ls
    "budgets.cost": (*CLIENTS, *CONTRACTS),
    "platform.db": (*CLIENTS, *CONTRACTS),
    "budgets.caps": (*CLIENTS, "cedarpy", "cryptography", "structlog"),  # caps ls: the shipped caps are contracts
    "policy.policies": CLIENTS,  # policy ls parses each policy
    "agents.definitions": CLIENTS,  # agents show looks at each tool
}


def imported_by(body: str, of_interest: tuple[str, ...]) -> list[str]:
    """Which of these modules a process has imported that is ready to run a command with this body."""
    script = (
        "import json, sys\nfrom workers.cli.app import app\nfrom workers.cli import output\n"
        f"import workers.cli.{body}\nprint(json.dumps([m for m in {of_interest!r} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("body", BODIES)
def test_commands_that_only_read_import_no_client_but_that_of_postgres(body: str) -> None:
    assert imported_by(body, BODIES[body]) == []


def test_the_look_for_imports_sees() -> None:
    assert imported_by("runs.runs", ("temporalio", "pydantic")) == ["temporalio", "pydantic"]
