"""`stanchion doctor`: checks this installation and says how to fix what is missing. Starts nothing."""

import asyncio
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from temporalio.client import Client

from workers.doctor_findings import Check
from workers.services import Home, ServiceUnavailable
from workers.services.postgres import describe, find_postgres_url
from workers.services.postgres import reach as reach_postgres
from workers.services.processes import run
from workers.services.temporal import TemporalService, find_temporal, list_search_attributes
from workers.services.temporal import reach as reach_temporal
from workers.services.temporal_binary import find_temporal_binary

OLDEST_PYTHON = (3, 11)
FREE_BYTES = 2 * 1024**3  # the Temporal CLI, the virtual environment and a few weeks of runs
ANSWER_SECONDS = 3.0  # short, because a person waits for the diagnosis; `up` waits longer
START = "Run `stanchion up`."

# Takes a database URL; returns (migrations applied, migrations known).
SchemaStatus = Callable[[str], Awaitable[tuple[int, int]]]
# Takes a database URL; returns the findings about the controls in that database.
Controls = Callable[[str], Awaitable[list[Check]]]


async def diagnose(
    home: Home,
    *,
    schema_status: SchemaStatus | None = None,
    controls: Controls | None = None,
    search_attributes: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Check, ...]:
    """Return all findings, in the order in which to fix them. Never raises and never shows a secret."""
    temporal, postgres, docker = await asyncio.gather(
        _check_temporal(home, search_attributes), _check_postgres(home, schema_status, controls), _check_docker()
    )
    machine = (_check_python(), _check_dependencies(), _check_state_folder(home), _check_disk(home))
    return (*machine, *temporal, *postgres, _check_worker(home), docker, _check_model_key())


def _check_worker(home: Home) -> Check:
    record = home.living("worker")
    if record:
        return Check("worker", True, f"`stanchion up` serves, pid {record.pid}")
    fix = "Run `stanchion up`, or `stanchion worker` on another machine: without a worker no run makes progress."
    return Check("worker", None, "no `stanchion up` serves here", fix)


def _check_python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check(
        "python", sys.version_info >= OLDEST_PYTHON, version, "Install Python 3.11 or newer, then `make setup`."
    )


def _check_dependencies() -> Check:
    try:
        declared = importlib.metadata.requires("stanchion") or ()
    except importlib.metadata.PackageNotFoundError:
        return Check("dependencies", False, "stanchion is not installed", "Run `make setup`.")
    # Dependencies of extras are not checked: the part that needs one reports it when it is missing.
    core = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in declared if "extra ==" not in line]
    missing = [name for name in core if not _is_installed(name)]
    return Check(
        "dependencies", not missing, "missing: " + ", ".join(missing) if missing else "all there", "Run `make setup`."
    )


def _is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def _check_state_folder(home: Home) -> Check:
    try:
        home.prepare()
        with tempfile.TemporaryFile(dir=home.root):
            return Check("state folder", True, str(home.root))
    except (ServiceUnavailable, OSError) as error:
        return Check("state folder", False, str(error), "Make it writable, or set STANCHION_HOME to another folder.")


def _check_disk(home: Home) -> Check:
    place = next(folder for folder in (home.root, *home.root.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    return Check(
        "disk space",
        free >= FREE_BYTES,
        f"{free / 1024**3:.1f} GiB free at {place}",
        "Free 2 GiB, or move STANCHION_HOME.",
    )


async def _check_temporal(home: Home, wanted: Mapping[str, str]) -> list[Check]:
    try:
        service = find_temporal(home)
    except ServiceUnavailable as error:
        return [Check("temporal", False, str(error), "Correct the configuration that it names.")]
    if service is None:
        return [await _check_temporal_binary(), Check("temporal", False, "no server runs here", START)]
    checks = [await _check_temporal_binary()] if service.owned else []
    try:
        client = await reach_temporal(service, timeout=ANSWER_SECONDS)
    except ServiceUnavailable as error:
        return [*checks, Check("temporal", False, str(error), _restart_advice(service))]
    checks.append(Check("temporal", True, service.address + (f", web UI {service.ui_url}" if service.ui_url else "")))
    checks.append(Check("namespace", True, service.namespace))
    return [*checks, await _check_search_attributes(client, wanted)]


def _restart_advice(service: TemporalService) -> str:
    return "Run `stanchion down`, then `stanchion up`." if service.owned else "Start it, or correct TEMPORAL_ADDRESS."


async def _check_temporal_binary() -> Check:
    try:
        return Check("temporal binary", True, str(await find_temporal_binary()))
    except ServiceUnavailable as error:
        return Check("temporal binary", False, str(error).replace("\n", "; "), "Run `stanchion up`: it installs one.")


async def _check_search_attributes(client: Client, wanted: Mapping[str, str]) -> Check:
    try:
        present = await list_search_attributes(client)
    except ServiceUnavailable as error:
        return Check("search attributes", False, str(error), "Ask for the right to list them.")
    mistyped = [
        f"{name} has the type {present[name]}, not {kind}"
        for name, kind in wanted.items()
        if name in present and present[name] != kind
    ]
    missing = [f"{name} is missing" for name in wanted if name not in present]
    fix = "Remove it with `temporal operator search-attribute remove`, then `stanchion up`." if mistyped else START
    detail = "; ".join(mistyped + missing) or "all there"
    return Check("search attributes", not mistyped and not missing, detail, fix)


async def _check_postgres(home: Home, schema_status: SchemaStatus | None, controls: Controls | None) -> list[Check]:
    url = find_postgres_url(home, os.environ.get("DATABASE_URL"))
    if url is None:
        return [Check("postgres", False, "no server runs here, and DATABASE_URL is not set", START)]
    try:
        version = await reach_postgres(url, timeout=ANSWER_SECONDS)
    except ServiceUnavailable as error:
        return [Check("postgres", False, str(error), "Start it, or correct DATABASE_URL.")]
    checks = [Check("postgres", True, f"{describe(url)}, version {version}")]
    if schema_status:
        checks.append(await _check_schema(url, schema_status))
    if controls and checks[-1].ok:
        checks += await controls(url)
    return checks


async def _check_schema(url: str, schema_status: SchemaStatus) -> Check:
    try:
        applied, known = await schema_status(url)
    except Exception as error:  # a diagnosis reports every error, by its type only: the text may contain the URL
        return Check("schema", False, f"cannot be read ({type(error).__name__})", "Run `stanchion db upgrade`.")
    fix = "Run `stanchion db upgrade`." if applied < known else "Use the version of Stanchion that created it."
    return Check("schema", applied == known, f"{applied} of {known} migrations", fix)


async def _check_docker() -> Check:
    fix = "Needed only to build the image of deploy/."
    docker = shutil.which("docker")
    if docker is None:
        return Check("docker", None, "not installed", fix)
    answer = await run([docker, "version", "--format", "{{.Server.Version}}"], timeout=ANSWER_SECONDS)
    if answer.code != 0:
        return Check("docker", None, "no engine answers", fix)
    return Check("docker", True, answer.output.strip())


def _check_model_key() -> Check:
    if os.environ.get("ANTHROPIC_API_KEY"):
        return Check("model key", True, "ANTHROPIC_API_KEY is set")
    return Check(
        "model key", None, "ANTHROPIC_API_KEY is not set", "Set it for anthropic: models; scripted: ones need none."
    )
