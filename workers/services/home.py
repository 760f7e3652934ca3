"""The one state folder, `.stanchion/`: where the data is, what was started, and who may start something now.

Nothing in here starts or stops anything.
"""

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
# Often enough that nobody notices the wait, seldom enough to cost nothing.
LOCK_POLL_SECONDS = 0.1

Progress = Callable[[str], None]


class ServiceUnavailable(Permanent):
    """A service that Stanchion needs is not there."""


@dataclass(frozen=True)
class Record:
    """What we started: enough to find it, to talk to it, and to end exactly it."""

    pid: int
    created: float  # seconds since the epoch, as the operating system tells it
    serves: str  # the file or folder it serves, which is also one of its arguments
    address: str  # Temporal: host:port; Postgres: a URL
    details: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pid: int, serves: Path, address: str, details: Mapping[str, str] | None = None) -> "Record":
        """The record of a process that was started just now. One that died already is recorded as dead."""
        created = created_at(pid) or 0.0
        return cls(pid=pid, created=created, serves=str(serves), address=address, details=dict(details or {}))

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        """The record that `write` stored; fields of another version are ignored. Raises ValueError."""
        found: Any = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("a record is a JSON object")
        pid, created, details = found.get("pid"), found.get("created"), found.get("details", {})
        serves, address = found.get("serves"), found.get("address")
        if not (isinstance(pid, int) and isinstance(created, int | float) and isinstance(details, dict)):
            raise ValueError("a record has a pid, a time and details")
        if not all(isinstance(text, str) for text in (serves, address, *details.values())):
            raise ValueError("a record's places and details are text")
        return cls(pid, float(created), str(serves), str(address), details)

    def is_alive(self) -> bool:
        """Whether that very process still runs; another one with its pid is not it."""
        return is_alive(self.pid, self.created, self.serves)


@dataclass(frozen=True)
class Home:
    """The state folder of one installation. Several processes may hold a `Home` of the same folder."""

    root: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str] = os.environ) -> "Home":
        """The folder named by STANCHION_HOME, or `.stanchion` beside this source tree's pyproject.toml."""
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
        """The log file of `service`."""
        return self.root / "logs" / f"{service}.log"

    def prepare(self) -> None:
        """Make the folder, private to us, if it is not there. Raises `ServiceUnavailable` if it cannot be."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.root / "logs").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServiceUnavailable(f"The state folder {self.root} cannot be made: {error}") from error

    def read(self, service: str) -> Record | None:
        """The record of `service`; None when there is none, or one that cannot be read."""
        try:
            return Record.from_json(self._record_file(service).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def living(self, service: str) -> Record | None:
        """The record of `service` if the process it tells of still runs."""
        record = self.read(service)
        return record if record and record.is_alive() else None

    def write(self, service: str, record: Record) -> None:
        """Store the record in one piece: a reader sees the old one or the new one."""
        handle, draft = tempfile.mkstemp(dir=self.root, prefix=f".{service}-")
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(asdict(record), indent=2))
        Path(draft).replace(self._record_file(service))

    def forget(self, service: str) -> None:
        """Drop the record of `service`."""
        self._record_file(service).unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def locked(self, service: str) -> AsyncIterator[None]:
        """Be the only process, and the only task, that starts or stops `service` of this home."""
        self.prepare()
        async with exclusive(self.root / f"{service}.lock"):
            yield

    def _record_file(self, service: str) -> Path:
        return self.root / f"{service}.json"


@contextlib.asynccontextmanager
async def exclusive(path: Path, waiting: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Hold the lock file `path`; `waiting` is told once if another holds it. The kernel frees it if we die."""
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
