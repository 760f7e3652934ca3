"""Processes of the operating system: start one that outlives us, know it again, end it, or run one with a bound.

A process is known by its pid *and* the moment it was created, never by its name: pids are used again.
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

# The kernel counts creation time from boot, and the boot time is known in whole seconds and moves by one of them.
CREATED_TOLERANCE = 2.0
# What a server needs of our environment. Keys and passwords stay with the processes that use them.
SERVER_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
# One line on the screen each this many seconds is enough to see that something still moves.
TICK_SECONDS = 10.0
# `$!` tells the pid, the shell ends at once, and the server belongs to init: no zombie, no handle to keep.
# The umask keeps what the server writes private to its account.
DETACH = 'umask 077; "$@" </dev/null >&2 & echo $!'


@dataclass(frozen=True)
class Account:
    """The user and group that a process runs as, when not ours."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Finished:
    """A command that ended: exit code (None: cut at the time-out) and its whole output, stderr included."""

    code: int | None
    output: str


def created_at(pid: int) -> float | None:
    """When the living process `pid` was created, in seconds since the epoch; None if there is none."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def names_in_command(pid: int, path: str) -> bool:
    """Whether the living process `pid` has `path` as one of its arguments."""
    try:
        return path in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def is_alive(pid: int, created: float, serves: str) -> bool:
    """Whether the process that was started as `pid` at `created` to serve the path `serves` still runs.

    A clock that is set anew moves every creation time, so a process with our path as an argument counts too:
    to take a living server for a dead one would start a second one on the same data.
    """
    now = created_at(pid)
    return now is not None and (abs(now - created) < CREATED_TOLERANCE or names_in_command(pid, serves))


def spawn(command: Sequence[str], log: Path, account: Account | None = None) -> int:
    """Start `command` in a session of its own, its output appended to `log`; returns its pid."""
    environment = {name: os.environ[name] for name in SERVER_ENVIRONMENT if name in os.environ}
    with log.open("ab") as output:
        shell = subprocess.run(  # noqa: S603 - the commands are ours, and no text is read by the shell
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
    """Send each signal in turn, with its seconds of grace, until the process is gone; False if it never went."""
    for number, grace in signals:
        deadline = time.monotonic() + grace
        if still_ours():  # asked before each signal: the pid may have gone to someone else in between
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
    """Run `command` for at most `timeout` seconds; `every` hears the elapsed seconds now and then.

    When cut, by the time-out or by cancellation, its whole process group is killed.
    """
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - it returns at once; uvloop's own spawn knows no user and group
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
        cut = not reading.done()
    finally:
        if not reading.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        output, _ = await reading
    return Finished(None if cut else process.returncode, output.decode(errors="replace"))


def tail(text: str, lines: int = 12) -> str:
    """The last lines of `text`, indented to be shown inside a message."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-lines:]) or "    (no output)"


def tail_of(log: Path) -> str:
    """The last lines of the file `log`, as `tail` shows them."""
    return tail(log.read_text(errors="replace")) if log.exists() else "    (no log)"
