"""Fixtures: one Temporal and one Postgres for the session, one database and one task queue for each test."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from temporalio.client import Client
from temporalio.worker._workflow import _WorkflowWorker

from tests.fakes.anthropic_api import FakeAnthropic
from tests.harness import databases
from tests.harness.door import Door
from tests.harness.pasteable import pasteable
from tests.harness.stanchion import Stanchion
from workers.database import prepare_database
from workers.plugin import stanchion_plugin
from workers.services import (
    Home,
    Services,
    ensure_postgres,
    ensure_temporal,
    reach,
    register_search_attributes,
    stop_services,
)
from workflows.search import SEARCH_ATTRIBUTES

# No deadline: machines are busy. The same examples each time; `make fuzz` (tests/fuzz.py) searches at random instead.
_always: Any = {
    "deadline": None,
    "database": None,
    "max_examples": 30,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("fixed", derandomize=True, **_always)
settings.register_profile("search", derandomize=False, print_blob=True, **_always)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

TESTS = Path(__file__).parent
HOMES = pytest.StashKey[Path]()  # the folder of the state folders of this run, those of all its processes
SLOW = ("acceptance", "attacks", "crash", "disasters")  # folders whose tests kill, or bring up servers

# A test must never act on what the person who runs it has configured.
OTHERS = frozenset(("DATABASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: one process more than there are cores, because tests wait for half of their time."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def _be_patient(seconds: float) -> None:
    """Have workers of this process take a workflow for deadlocked after `seconds` only.

    The SDK's two are too short where a test process, a Temporal and a Postgres share a core with others like them: it
    would fail the task, and leave the interrupted thread in whatever it was doing.
    """
    original = _WorkflowWorker.__init__

    def patient(self: Any, **given: Any) -> None:
        original(self, **given)
        self._deadlock_timeout_seconds = seconds

    _WorkflowWorker.__init__ = patient  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    """Know where this run keeps its servers. One that is told to end stops them, as one that is interrupted does."""
    given = getattr(config, "workerinput", {}).get("homes")
    # A folder of our own: pytest clears away its older ones while other sessions may still use theirs.
    config.stash[HOMES] = Path(given or tempfile.mkdtemp(prefix="stanchion-"))
    _be_patient(60.0)
    if not given:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of `-n` where this run keeps its servers."""
    node.workerinput["homes"] = str(node.config.stash[HOMES])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what a process of this run that was killed has left."""
    if hasattr(config, "workerinput"):
        return
    for folder in config.stash[HOMES].iterdir():
        asyncio.run(stop_services(Home(folder)))
    shutil.rmtree(config.stash[HOMES], ignore_errors=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of SLOW."""
    if item.path.relative_to(TESTS).parts[0] in SLOW:
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first: `-n` hands out whole files, and a long one at the end would run alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the example that a property test fails with as it can be pasted above the test."""
    report = yield
    if report.failed and call.excinfo and (text := pasteable(call.excinfo.value)):
        report.sections.append(("an example that fails", text))
    return report


@pytest_asyncio.fixture(scope="session")
async def services(pytestconfig: pytest.Config) -> AsyncIterator[Services]:
    """Real Temporal and real Postgres, in a folder of their own, on ports of their own: never a server someone uses."""
    for name in [name for name in os.environ if name.startswith(("TEMPORAL_", "STANCHION_TOOL_")) or name in OTHERS]:
        del os.environ[name]
    home = Home(Path(tempfile.mkdtemp(dir=pytestconfig.stash[HOMES], prefix="home-")))
    temporal, postgres = await asyncio.gather(
        ensure_temporal(
            home, search_attributes=SEARCH_ATTRIBUTES, prefer_default_ports=False, progress=lambda line: None
        ),
        # Each test makes a database and drops it, which need not wait for the disk: no test cuts the power.
        ensure_postgres(home, None, lambda line: None, durable=False),
    )
    await register_search_attributes(await reach(temporal), SEARCH_ATTRIBUTES)
    yield Services(temporal, postgres)
    await stop_services(home)


@pytest_asyncio.fixture(scope="session")
async def template(services: Services) -> AsyncIterator[str]:
    """The name of a migrated database that each test's own is copied from."""
    url = await databases.create(services.postgres.url)
    await prepare_database(url)
    yield databases.name_of(url)
    await databases.drop(services.postgres.url, url)


@pytest_asyncio.fixture
async def database_url(services: Services, template: str) -> AsyncIterator[str]:
    """A migrated, empty database for this test alone."""
    url = await databases.create(services.postgres.url, template)
    yield url
    await databases.drop(services.postgres.url, url)


@pytest_asyncio.fixture(scope="session")
async def client(services: Services) -> Client:
    """A Temporal client as everything here uses it."""
    return await Client.connect(services.temporal.address, plugins=[stanchion_plugin()])


@pytest_asyncio.fixture
async def systems(client: Client, database_url: str) -> AsyncIterator[Callable[..., Stanchion]]:
    """Makes systems on this test's database: `systems(checkpoint=..., task_queue=...)`; all are closed at the end."""
    made: list[Stanchion] = []

    def make(**settings: Any) -> Stanchion:
        made.append(Stanchion.make(client, database_url, **settings))
        return made[-1]

    yield make
    for system in made:
        await system.close()


@pytest_asyncio.fixture
async def stanchion(systems: Callable[..., Stanchion]) -> Stanchion:
    """A running system with all roles."""
    return await systems().up()


@pytest_asyncio.fixture
async def api() -> AsyncIterator[FakeAnthropic]:
    """Anthropic's API as a local server, anew for each test."""
    async with FakeAnthropic() as server:
        yield server


@pytest_asyncio.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    """A worker's parts on the test's own database, without Temporal."""
    made = Door.make(database_url)
    yield made
    await made.close()
