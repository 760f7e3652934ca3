"""Bringing Temporal and Postgres up, finding them again, and ending exactly what was started. Real servers."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import asyncpg
import psutil
import pytest
from temporalio.client import Client

from workers.doctor import Check, diagnose
from workers.services import Home, Services, ensure_services, stop_services
from workers.services.home import PROJECT_ROOT, Record
from workers.services.postgres import PostgresUnreachable, describe, ensure_postgres
from workers.services.search_attributes import SearchAttributeConflict
from workers.services.temporal import (
    TemporalUnreachable,
    ensure_temporal,
    list_search_attributes,
    register_search_attributes,
)
from workers.services.temporal_binary import (
    TemporalBinaryMissing,
    Way,
    WayFailed,
    cached_binary,
    find_temporal_binary,
    obtain_temporal_binary,
)
from workflows.search import SEARCH_ATTRIBUTES

pytestmark = pytest.mark.slow

SECRET = "hunter2-very-private"
ENVIRONMENT = ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE", "TEMPORAL_API_KEY", "DATABASE_URL")
# What another process does that comes up at the same moment.
COME_UP = """
import asyncio, json, sys
from pathlib import Path
from workers.services import Home, ensure_services
services = asyncio.run(ensure_services(Home(Path(sys.argv[1])), lambda line: None))
print(json.dumps([services.temporal.pid, services.postgres.pid, services.temporal.address]))
"""


def quiet(line: str) -> None:
    """Nobody watches the progress of a test."""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server is named, neither by variables nor by a configuration file of the developer."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path / "temporal.toml"
    empty.touch()
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(empty))


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """A fresh state folder; what a test started in it is stopped, and nothing of it stays."""
    fresh = Home(tmp_path / "home")
    yield fresh
    await stop_services(fresh)
    assert living_processes(fresh) == []


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of our business."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def living_processes(home: Home) -> list[int]:
    """The processes that have this home among their arguments."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and any(str(home.root) in part for part in process.cmdline()):
                found.append(process.pid)
    return found


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for `condition`, at most so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


async def connect(services: Services) -> Client:
    return await Client.connect(**services.temporal.connect_config())


async def execute(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def by_name(checks: tuple[Check, ...]) -> Mapping[str, Check]:
    return {check.name: check for check in checks}


async def test_a_fresh_home_comes_up_and_a_second_call_finds_the_same_servers(home: Home) -> None:
    first = await ensure_services(home, quiet, search_attributes=SEARCH_ATTRIBUTES)
    second = await ensure_services(home, quiet, search_attributes=SEARCH_ATTRIBUTES)

    assert (second.temporal, second.postgres) == (first.temporal, first.postgres)
    assert first.temporal.owned and first.postgres.owned
    assert await list_search_attributes(await connect(first)) == SEARCH_ATTRIBUTES
    assert await execute(first.postgres.url, "SHOW max_connections") == "200"
    assert await execute(first.postgres.url, "SELECT current_setting('fsync')") == "on"
    assert await execute(first.postgres.url, "SHOW synchronous_commit") == "on"

    assert await stop_services(home) == ("temporal", "postgres")
    assert living_processes(home) == []
    assert await stop_services(home) == ()


async def test_two_processes_that_come_up_at_once_share_one_server(home: Home) -> None:
    command = [sys.executable, "-c", COME_UP, str(home.root)]
    both = [await asyncio.create_subprocess_exec(*command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    async with asyncio.timeout(60):
        answers = [json.loads((await process.communicate())[0]) for process in both]

    assert answers[0] == answers[1]
    # Both outlive the processes that started them.
    assert answers[0][:2] == [record.pid for name in ("temporal", "postgres") if (record := home.living(name))]


async def test_servers_that_were_killed_come_back_with_their_data_on_the_same_port(home: Home) -> None:
    before = await ensure_services(home, quiet)
    client = await connect(before)
    await client.start_workflow("Sleeper", id="survivor", task_queue="nobody")
    await execute(before.postgres.url, "CREATE TABLE survivor AS SELECT 42 AS answer")
    for pid in (before.temporal.pid, before.postgres.pid):
        os.kill(pid or pytest.fail("not ours"), signal.SIGKILL)
    await until(lambda: home.living("temporal") is None and home.living("postgres") is None)

    after = await ensure_services(home, quiet)

    assert after.temporal.address == before.temporal.address
    assert after.temporal.pid != before.temporal.pid
    assert (await client.get_workflow_handle("survivor").describe()).id == "survivor"
    assert await execute(after.postgres.url, "SELECT answer FROM survivor") == 42


async def test_a_server_whose_record_was_lost_is_found_again(home: Home) -> None:
    first = await ensure_postgres(home, None, quiet)
    home.forget("postgres")

    assert await ensure_postgres(home, None, quiet) == first


async def test_a_search_attribute_of_another_type_is_refused(home: Home) -> None:
    service = await ensure_temporal(home, progress=quiet, search_attributes={"AgentCostUsd": "Keyword"})
    client = await Client.connect(**service.connect_config())

    with pytest.raises(SearchAttributeConflict, match=r"AgentCostUsd has the type Keyword, Stanchion needs Double"):
        await register_search_attributes(client, SEARCH_ATTRIBUTES)
    findings = by_name(await diagnose(home, search_attributes=SEARCH_ATTRIBUTES))
    assert findings["search attributes"].ok is False
    assert "AgentCostUsd has the type Keyword, not Double" in findings["search attributes"].detail
    assert "AgentName is missing" in findings["search attributes"].detail

    fitting = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name != "AgentCostUsd"}
    await asyncio.gather(*(register_search_attributes(client, fitting) for _ in range(3)))
    assert await list_search_attributes(client) == {**SEARCH_ATTRIBUTES, "AgentCostUsd": "Keyword"}


async def test_a_port_that_is_taken_is_avoided(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    try:
        both = [await ensure_temporal(each, progress=quiet) for each in (home, other)]
    finally:
        await stop_services(other)

    assert both[0].address != both[1].address


async def test_a_recycled_pid_is_never_killed(home: Home, bystander: subprocess.Popen[bytes]) -> None:
    home.prepare()
    for service, data in (("temporal", home.temporal_db), ("postgres", home.postgres_data)):
        stale = Record(pid=bystander.pid, created=12345.0, serves=str(data), address="127.0.0.1:1")
        home.write(service, stale)

    assert home.living("temporal") is None
    assert await stop_services(home) == ()
    assert bystander.poll() is None


async def test_a_stale_pid_file_of_postgres_does_not_keep_it_down(home: Home) -> None:
    first = await ensure_postgres(home, None, quiet)
    pid_file = home.postgres_data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    await stop_services(home)
    # Of the server's own account: Postgres takes only such a process for another server on its data.
    neighbour = await asyncio.create_subprocess_exec("sleep", "600", user=home.postgres_data.stat().st_uid)
    try:
        pid_file.write_text("\n".join([str(neighbour.pid), *lines[1:]]))
        again = await ensure_postgres(home, None, quiet)
        assert psutil.pid_exists(neighbour.pid) and neighbour.returncode is None
    finally:
        neighbour.kill()
        await neighbour.wait()

    assert again.pid not in (first.pid, neighbour.pid)


async def test_a_temporal_that_dies_shows_the_end_of_its_log(home: Home) -> None:
    home.prepare()
    home.temporal_db.write_text("this is not a database " * 1000)

    with pytest.raises(TemporalUnreachable, match=r"(?s)died while it started:.*not a database"):
        await ensure_temporal(home, progress=quiet)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ana:{SECRET}@127.0.0.1:1/db",
        f"postgresql://ana:12/{SECRET}@127.0.0.1:1/db",
        f"postgresql://127.0.0.1:1/db?user=ana&password={SECRET}",
        f"mysql://ana:{SECRET}@127.0.0.1:1/db",
        f"postgresql://ana:{SECRET}@127.0.0.1:port/db",
    ],
)
async def test_a_postgres_that_does_not_answer_is_named_without_its_password(home: Home, url: str) -> None:
    with pytest.raises(PostgresUnreachable, match=r"Check DATABASE_URL") as refused:
        await ensure_postgres(home, url, quiet, timeout=0.2)

    assert SECRET not in str(refused.value) + describe(url) and refused.value.__cause__ is None
    assert "12" not in describe(url).replace("127.0.0.1", "")


async def test_a_temporal_that_does_not_answer_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")

    with pytest.raises(TemporalUnreachable, match=r"127\.0\.0\.1:1.*Check TEMPORAL_ADDRESS"):
        await ensure_temporal(home, progress=quiet, timeout=0.2)
    assert living_processes(home) == []


async def test_a_profile_that_does_not_exist_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_PROFILE", "nowhere")

    with pytest.raises(TemporalUnreachable, match=r"nowhere.*Check TEMPORAL_PROFILE"):
        await ensure_temporal(home, progress=quiet)


async def test_a_server_that_is_named_is_used_and_not_stopped(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await ensure_services(home, quiet)
    monkeypatch.setenv("TEMPORAL_ADDRESS", running.temporal.address)
    monkeypatch.setenv("DATABASE_URL", running.postgres.url)
    guest = Home(tmp_path / "guest")

    found = await ensure_services(guest, quiet, search_attributes=SEARCH_ATTRIBUTES)

    assert (found.temporal.owned, found.postgres.owned) == (False, False)
    assert await list_search_attributes(await connect(found)) == SEARCH_ATTRIBUTES
    assert await stop_services(guest) == ()
    assert home.living("temporal") and home.living("postgres")


async def test_the_doctor_tells_what_is_missing_and_what_to_do(home: Home) -> None:
    async def half_migrated(url: str) -> tuple[int, int]:
        return 1, 2

    async def unreadable(url: str) -> tuple[int, int]:
        raise RuntimeError(SECRET)

    down = by_name(await diagnose(home, schema_status=half_migrated))
    assert {name for name, check in down.items() if check.ok is False} >= {"temporal", "postgres"}
    assert all(check.fix for check in down.values() if not check.ok)

    await ensure_services(home, quiet)
    up = by_name(await diagnose(home, schema_status=half_migrated, search_attributes=SEARCH_ATTRIBUTES))
    assert all(
        up[name].ok for name in ("python", "state folder", "temporal binary", "temporal", "namespace", "postgres")
    )
    assert (up["schema"].ok, up["schema"].detail) == (False, "1 of 2 migrations")
    assert up["search attributes"].ok is False and up["search attributes"].fix
    assert SECRET not in repr(await diagnose(home, schema_status=unreadable))


async def test_the_doctor_shows_no_secret(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ana:{SECRET}@127.0.0.1:1/db")
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")

    findings = await diagnose(home)

    assert SECRET not in repr(findings)
    assert by_name(findings)["postgres"].ok is False and by_name(findings)["temporal"].ok is False
    assert by_name(findings)["model key"].ok is True


def program(path: Path, script: str) -> Path:
    """An executable shell script at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def on_path(tmp_path: Path) -> dict[str, str]:
    """An environment with its own PATH and its own, empty cache."""
    return {"PATH": str(tmp_path / "bin"), "STANCHION_CACHE": str(tmp_path / "cache")}


GOOD = "echo 'temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)'"


@pytest.mark.parametrize("broken", ["exit 1", "echo 'temporal version 1.0.0 (Server 1.24.2, UI 2.3.0)'"])
async def test_an_unusable_temporal_on_path_is_passed_over(tmp_path: Path, broken: str) -> None:
    environ = on_path(tmp_path)
    program(tmp_path / "bin" / "temporal", broken)
    cached = program(cached_binary(environ), GOOD)

    assert await find_temporal_binary(environ) == cached


async def test_each_way_that_failed_is_listed_and_the_first_good_one_is_installed_once(tmp_path: Path) -> None:
    environ = on_path(tmp_path)
    installed: list[Path] = []

    async def refused(staging: Path, progress: Callable[[str], None]) -> Path:
        raise WayFailed("the line is cut")

    async def works(staging: Path, progress: Callable[[str], None]) -> Path:
        installed.append(staging)
        return program(staging / "temporal", GOOD)

    with pytest.raises(TemporalBinaryMissing, match=r"(?s)PATH: not there.*by wire: the line is cut.*install Go"):
        await obtain_temporal_binary(quiet, environ, [Way("by wire", refused)])
    ways = [Way("by wire", refused), Way("by hand", works)]
    found = await asyncio.gather(*(obtain_temporal_binary(quiet, environ, ways) for _ in range(3)))

    assert set(found) == {cached_binary(environ)}
    assert len(installed) == 1
    assert [entry.name for entry in cached_binary(environ).parent.iterdir() if entry.is_dir()] == []
