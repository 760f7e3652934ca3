"""Starts, recognises and stops processes that outlive us, and runs commands with a time-out.

A process is recognised by its pid *and* its creation time, because the system reuses pids; never by its name.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# Creation times are computed from the boot time, which is known in whole seconds and may change by one second.
CREATED_TOLERANCE = 2.0
# The environment variables that a server gets. It does not get our API keys and passwords.
SERVER_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
TICK_SECONDS = 10.0  # time between two lines of progress
# `$!` is the pid. The shell ends at once, so init adopts the server and it never becomes our zombie.
# The umask makes the files that the server writes private to its account.
DETACH = 'umask 077; "$@" </dev/null >&2 & echo $!'


@dataclass(frozen=True)
class Account:
    """The user and group that a process runs as, if they are not ours."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Finished:
    """The result of a command: its exit code (None after a time-out), and its output including stderr."""

    code: int | None
    output: str


def created_at(pid: int) -> float | None:
    """Return the creation time of process `pid` in seconds since the epoch, or None if it does not run."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def has_argument(pid: int, path: str) -> bool:
    """Whether process `pid` runs and has `path` as one of its arguments."""
    try:
        return path in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def is_alive(pid: int, created: float, serves: str) -> bool:
    """Whether the process that was started as `pid` at `created` to serve the path `serves` still runs.

    If someone sets the clock, all creation times change. Therefore a process with this pid and our path among its
    arguments is also accepted: a running server taken for dead would get a second server on the same data.
    """
    seen_created = created_at(pid)
    if seen_created is None:
        return False
    return abs(seen_created - created) < CREATED_TOLERANCE or has_argument(pid, serves)


def spawn(command: Sequence[str], log: Path, account: Account | None = None) -> int:
    """Start `command` in its own session, append its output to `log`, and return its pid."""
    environment = {name: os.environ[name] for name in SERVER_ENVIRONMENT if name in os.environ}
    with log.open("ab") as output:
        shell = subprocess.run(  # noqa: S603 - our own commands, passed as arguments and not parsed by the shell
            ["/bin/sh", "-c", DETACH, "sh", *command],
            stdout=subprocess.PIPE,
            stderr=output,
            check=True,
            cwd="/",
            env=environment,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    return int(shell.stdout)


async def stop(pid: int, still_ours: Callable[[], bool], signals: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal in turn and wait its seconds of grace, until the process has ended. Returns whether it has."""
    for number, grace in signals:
        deadline = time.monotonic() + grace
        if still_ours():  # checked before each signal, because another process may have got the pid in the meantime
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while still_ours() and time.monotonic() < deadline:  # noqa: ASYNC110 - the kernel has no event for this
            await asyncio.sleep(0.05)
    return not still_ours()


async def run(
    command: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    every: Callable[[int], None] = lambda seconds: None,
) -> Finished:
    """Run `command` for at most `timeout` seconds. Calls `every` with the elapsed seconds, every `TICK_SECONDS`.

    At the time-out, or if the caller is cancelled, the whole process group is killed.
    """
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - returns at once; uvloop's spawn does not support user and group
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=env,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    reading = asyncio.create_task(asyncio.to_thread(process.communicate))
    started = time.monotonic()
    try:
        while not reading.done() and time.monotonic() - started < timeout:
            await asyncio.wait({reading}, timeout=min(TICK_SECONDS, timeout))
            if not reading.done():
                every(round(time.monotonic() - started))
        timed_out = not reading.done()
    finally:
        if not reading.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        output, _ = await reading
    return Finished(None if timed_out else process.returncode, output.decode(errors="replace"))


def tail(text: str, lines: int = 12) -> str:
    """Return the last lines of `text`, indented for a message."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-lines:]) or "    (no output)"


def tail_of(log: Path) -> str:
    """Return the last lines of the file `log`, as `tail` does."""
    return tail(log.read_text(errors="replace")) if log.exists() else "    (no log)"
