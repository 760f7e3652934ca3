"""The state folder, `.stanchion/`: data, records of started processes, and locks. Starts and stops nothing."""

import asyncio
import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from activities.errors import Permanent
from workers.services.processes import created_at, is_alive

PROJECT_ROOT = Path(__file__).resolve().parents[2]
LOCK_POLL_SECONDS = 0.1

Progress = Callable[[str], None]


class ServiceUnavailable(Permanent):
    """A service that Stanchion needs is not available."""


@dataclass(frozen=True)
class Record:
    """A process that we started: how to reach it, and how to recognise exactly this process before stopping it."""

    pid: int
    created: float  # seconds since the epoch, by the operating system
    serves: str  # the file or folder that it serves, which is also one of its command-line arguments
    address: str  # Temporal: host:port; Postgres: a URL
    details: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pid: int, serves: Path, address: str, details: Mapping[str, str] | None = None) -> "Record":
        """Return the record of a process that was just started. If it has died already, the record is not alive."""
        created = created_at(pid) or 0.0
        return cls(pid=pid, created=created, serves=str(serves), address=address, details=dict(details or {}))

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        """Parse a record that `write` stored; unknown fields are ignored. Raises ValueError."""
        fields: Any = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("a record is a JSON object")
        pid, created, details = fields.get("pid"), fields.get("created"), fields.get("details", {})
        serves, address = fields.get("serves"), fields.get("address")
        if not (isinstance(pid, int) and isinstance(created, int | float) and isinstance(details, dict)):
            raise ValueError("a record has a pid, a time and details")
        if not all(isinstance(text, str) for text in (serves, address, *details.values())):
            raise ValueError("serves, address and details of a record are text")
        return cls(pid, float(created), str(serves), str(address), details)

    def is_alive(self) -> bool:
        """Whether exactly this process still runs, not another one with the same pid."""
        return is_alive(self.pid, self.created, self.serves)


@dataclass(frozen=True)
class Home:
    """The state folder of one installation. Several processes may hold a `Home` of the same folder."""

    root: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str] = os.environ) -> "Home":
        """Return the home at STANCHION_HOME, or at `.stanchion` beside this source tree's pyproject.toml."""
        named = environ.get("STANCHION_HOME")
        return cls(Path(named).expanduser().absolute() if named else PROJECT_ROOT / ".stanchion")

    @property
    def temporal_db(self) -> Path:
        """The database file of the Temporal dev server."""
        return self.root / "temporal.db"

    @property
    def postgres_data(self) -> Path:
        """The data folder of the embedded Postgres."""
        return self.root / "postgres"

    def log(self, service: str) -> Path:
        """Return the path of the log file of `service`."""
        return self.root / "logs" / f"{service}.log"

    def prepare(self) -> None:
        """Create the folder, readable by its owner only, unless it exists. Raises `ServiceUnavailable`."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.root / "logs").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServiceUnavailable(f"The state folder {self.root} cannot be made: {error}") from error

    def read(self, service: str) -> Record | None:
        """Return the record of `service`, or None if there is none or it cannot be read."""
        try:
            return Record.from_json(self._record_file(service).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def living(self, service: str) -> Record | None:
        """Return the record of `service` if its process still runs, else None."""
        record = self.read(service)
        return record if record and record.is_alive() else None

    def write(self, service: str, record: Record) -> None:
        """Store the record atomically: a reader sees the old one or the new one."""
        handle, draft = tempfile.mkstemp(dir=self.root, prefix=f".{service}-")
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(asdict(record), indent=2))
        Path(draft).replace(self._record_file(service))

    def forget(self, service: str) -> None:
        """Delete the record of `service`."""
        self._record_file(service).unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def locked(self, service: str) -> AsyncIterator[None]:
        """Hold the lock for starting and stopping `service` of this home; it excludes other processes and tasks."""
        self.prepare()
        async with exclusive(self.root / f"{service}.lock"):
            yield

    def _record_file(self, service: str) -> Path:
        return self.root / f"{service}.json"


@contextlib.asynccontextmanager
async def exclusive(path: Path, waiting: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Hold the lock on the file `path`. Calls `waiting` once if another process holds it.

    The kernel releases the lock when this process dies.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try_lock(handle):
            waiting()
            while not _try_lock(handle):  # noqa: ASYNC110 - a blocking flock in a thread could not be cancelled
                await asyncio.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
