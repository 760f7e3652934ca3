"""Finds or installs the Temporal CLI: from PATH, our cached copy, the SDK's download, or the Go toolchain.

All clones of the repository on a machine share the cached copy.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.services.home import Progress, ServiceUnavailable, exclusive
from workers.services.processes import run, tail

VERSION = "1.5.1"  # the newest version that `go install` accepts: later ones have replace directives
OLDEST_SERVER = (1, 29)  # the first with fairness between tenants; older servers accept and ignore the setting
OLDEST_GO = (1, 24)
GO_PACKAGE = f"github.com/temporalio/cli/cmd/temporal@v{VERSION}"
VERSION_SECONDS = 30.0  # the first read of a 200 MB file on a busy machine takes long
DOWNLOAD_SECONDS = 300.0  # for 60 MB over a slow connection
BUILD_SECONDS = 1800.0  # takes three minutes on two cores, longer on a small machine

# Runs in a child process, because the interpreter aborts at exit if the download is refused.
SDK_DOWNLOAD = """
import asyncio, sys
from temporalio.testing import WorkflowEnvironment
async def main():
    server = await WorkflowEnvironment.start_local(
        download_dest_dir=sys.argv[1], dev_server_download_version=sys.argv[2])
    await server.shutdown()
asyncio.run(main())
"""


class TemporalBinaryMissing(ServiceUnavailable):
    """The Temporal CLI is not installed and could not be obtained."""


class WayFailed(Exception):
    """One way to get the CLI failed; the text says why."""


@dataclass(frozen=True)
class Way:
    """One way to get the CLI. `get` puts the program into a folder and returns its path, or raises `WayFailed`."""

    name: str
    get: Callable[[Path, Progress], Awaitable[Path]]


async def find_temporal_binary(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of a usable CLI on this machine. Raises `TemporalBinaryMissing`, which lists what was tried."""
    failures: list[str] = []
    for name, path in _candidates(environ):
        try:
            if path is None:
                raise WayFailed("not there")
            return await _require_usable(path)
        except WayFailed as failure:
            failures.append(f"{name}: {failure}")
    raise TemporalBinaryMissing("\n".join(failures))


async def obtain_temporal_binary(
    progress: Progress, environ: Mapping[str, str] = os.environ, ways: "Sequence[Way] | None" = None
) -> Path:
    """Return the path of a usable CLI, which is installed into the cache if there is none. Safe to call concurrently.

    Raises `TemporalBinaryMissing`, which lists what was tried.
    """
    try:
        return await find_temporal_binary(environ)
    except TemporalBinaryMissing:
        pass
    target = cached_binary(environ)
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.parent / ".lock"
    async with exclusive(lock, lambda: progress("Waiting for another process that installs the Temporal CLI …")):
        try:
            return await find_temporal_binary(environ)  # another process may have installed it while we waited
        except TemporalBinaryMissing as missing:
            return await _install(target, INSTALL_WAYS if ways is None else ways, str(missing), progress)


def cached_binary(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of our cached copy, which may not exist yet."""
    if named := environ.get("STANCHION_CACHE"):
        cache = Path(named).expanduser().absolute()
    elif xdg := environ.get("XDG_CACHE_HOME"):
        cache = Path(xdg) / "stanchion"
    else:
        cache = Path.home() / ".cache" / "stanchion"
    return cache / f"temporal-{VERSION}" / "temporal"


def _candidates(environ: Mapping[str, str]) -> list[tuple[str, Path | None]]:
    on_path = shutil.which("temporal", path=environ.get("PATH", ""))
    cached = cached_binary(environ)
    return [
        ("temporal on PATH", Path(on_path).absolute() if on_path else None),
        ("the cached copy", cached if cached.is_file() else None),
    ]


async def _install(target: Path, ways: "Sequence[Way]", previous_failures: str, progress: Progress) -> Path:
    failures = previous_failures.splitlines()
    for way in ways:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as staging:
            try:
                staged = await _require_usable(await way.get(Path(staging), progress))
                staged.replace(target)
                progress(f"The Temporal CLI is in {target}.")
                return target
            except (WayFailed, OSError) as failure:
                failures.append(f"{way.name}: {failure}")
    tried = "\n".join(f"  - {failure}" for failure in failures)
    raise TemporalBinaryMissing(
        f"The Temporal CLI could not be obtained. Tried:\n{tried}\n"
        "Do one of these: install the Temporal CLI and put it on PATH; install Go 1.24 or newer and try again; "
        "or set TEMPORAL_ADDRESS to a Temporal server that runs already."
    )


async def _require_usable(path: Path) -> Path:
    """Return `path` if the program runs and its server is new enough. Raises `WayFailed`."""
    try:
        answer = await run([str(path), "--version"], timeout=VERSION_SECONDS)
    except OSError as error:
        raise WayFailed(f"{path} does not run: {error}") from error
    if answer.code != 0:
        raise WayFailed(f"{path} --version failed (exit code {answer.code})")
    server = re.search(r"Server (\d+)\.(\d+)", answer.output)  # a Go build does not print the CLI's own version
    if server and (int(server[1]), int(server[2])) < OLDEST_SERVER:
        raise WayFailed(f"{path} brings server {server[1]}.{server[2]}, older than 1.29")
    return path


async def _download(staging: Path, progress: Progress) -> Path:
    progress(f"Downloading the Temporal CLI {VERSION} …")
    done = await run(
        [sys.executable, "-c", SDK_DOWNLOAD, str(staging), f"v{VERSION}"],
        timeout=DOWNLOAD_SECONDS,
        every=lambda seconds: progress(f"Downloading the Temporal CLI: {seconds} s …"),
    )
    programs = _programs_in(staging)
    if not programs:  # the exit code is ignored: the child may abort after a complete download
        reasons = [line for line in done.output.splitlines() if "Error" in line]
        raise WayFailed("took too long" if done.code is None else (reasons or ["refused"])[-1][:300])
    return programs[0]


def _programs_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and os.access(path, os.X_OK)]


async def _build(staging: Path, progress: Progress) -> Path:
    go = shutil.which("go")
    if go is None:
        raise WayFailed("no Go toolchain on PATH")
    version = re.search(r"go(\d+)\.(\d+)", (await run([go, "version"], timeout=VERSION_SECONDS)).output)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_GO:
        raise WayFailed(f"Go {version[0] if version else 'of an unknown version'} is older than 1.24")
    progress(f"Building the Temporal CLI {VERSION} with Go, once for this machine; about three minutes …")
    done = await run(
        [go, "install", "-ldflags", "-s -w", GO_PACKAGE],
        timeout=BUILD_SECONDS,
        env={**os.environ, "GOBIN": str(staging), "CGO_ENABLED": "0"},
        every=lambda seconds: progress(f"Building the Temporal CLI: {seconds} s …"),
    )
    if done.code != 0:
        raise WayFailed("took too long" if done.code is None else f"go install failed:\n{tail(done.output)}")
    return staging / "temporal"


INSTALL_WAYS = (Way("the SDK's download", _download), Way("go install", _build))
