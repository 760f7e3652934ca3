"""Samples where a worker process spends its CPU, by layer, and counts its SQL statements.

Once a millisecond a thread looks at the stack of each Python thread and at that thread's CPU clock, and gives the CPU
used since the last look to the stack it finds. A tracing profiler would make small Python functions look dear; this
costs a few percent, which are left out. CPU of the process in no Python thread is Temporal's core, which is Rust.
"""

import gc
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from activities.storage.queries import Query

ROOT = str(Path(__file__).parents[1]) + "/"
INTERVAL = 0.001
SWITCH = 0.00001  # seconds: so that a thread which is looked at lets go of the interpreter soon
CORE, SDK, LOOP, DRIVER, JSON, LOGS = (
    "Temporal's core (Rust threads)",
    "Temporal's SDK (Python)",
    "event loop",
    "SQL driver",
    "pydantic and JSON",
    "log lines and tracing",
)
ELSEWHERE = "Python, of none of these"
OURS = "ours: "
# The first that is in a file's path says what it is. What is in none of them belongs to its caller.
LAYERS = (
    ("/temporalio/contrib/pydantic", JSON),
    ("/workflows/contracts/base.py", JSON),
    ("/activities/storage/canonical.py", JSON),
    ("/pydantic/", JSON),
    ("/json/", JSON),
    ("/temporalio/", SDK),
    ("/google/protobuf/", SDK),
    ("/asyncpg/", DRIVER),
    ("/structlog/", LOGS),
    ("/logging/", LOGS),
    ("/opentelemetry/", LOGS),
    ("/asyncio/", LOOP),
    ("/selectors.py", LOOP),
    ("/workers/loop.py", LOOP),
    ("/bench/worker.py", LOOP),
)
DEEP = frozenset(("activities",))  # packages whose subpackages are told apart


class Sampler(threading.Thread):
    """Runs until the process ends. Its figures are seconds of CPU since it was started."""

    def __init__(self) -> None:
        super().__init__(name="sampler", daemon=True)
        self.layers: Counter[str] = Counter()
        self.ours: Counter[str] = Counter()  # by package of ours, all that it called included
        self.functions: Counter[str] = Counter()  # of any layer, what they called in native code included
        self.asked: Counter[str] = Counter()  # functions of ours, with what they called of other layers and no own time
        self._used: dict[int, float] = {}
        self._began = time.process_time()

    def run(self) -> None:
        """See the base class."""
        sys.setswitchinterval(SWITCH)
        while True:
            time.sleep(INTERVAL)
            for ident, frame in sys._current_frames().items():
                if ident != self.ident:
                    self._look(ident, frame)

    def reading(self) -> dict[str, Any]:
        """Everything until now."""
        own = time.clock_gettime(time.pthread_getcpuclockid(self.ident or 0))
        rest = time.process_time() - self._began - own - sum(self.layers.values())
        layers = {**self.layers, CORE: rest}
        counted = {"ours": self.ours, "functions": self.functions, "asked": self.asked}
        return {"layers": layers, **{name: dict(counts) for name, counts in counted.items()}}

    def _look(self, ident: int, frame: FrameType) -> None:
        used = time.clock_gettime(time.pthread_getcpuclockid(ident))
        before = self._used.setdefault(ident, used)
        self._used[ident] = used
        if used <= before:
            return
        layer, package, function, asked = _place(frame)
        self.layers[layer] += used - before  # type: ignore[assignment]  # seconds, not a count
        if package:
            self.ours[package] += used - before  # type: ignore[assignment]
        self.functions[function] += used - before  # type: ignore[assignment]
        if asked:
            self.asked[asked] += used - before  # type: ignore[assignment]


def _place(frame: FrameType) -> tuple[str, str, str, str]:
    """Layer of the innermost frame that has one; the innermost package of ours; the function that is at work; and the
    function of ours that called it, with the layer, if that is not ours."""
    layer = package = asked = ""
    function = _called(frame)
    at: FrameType | None = frame
    while at and not package:
        file = at.f_code.co_filename
        found = next((name for part, name in LAYERS if part in file), "")
        if not found and file.startswith(ROOT) and "/.venv/" not in file:
            package = _package(file)
            asked = f"{layer} < {_called(at)}" if layer else ""
        layer = layer or found or (f"{OURS}{package}" if package else "")
        at = at.f_back
    return layer or ELSEWHERE, package, function, asked


def _called(frame: FrameType) -> str:
    """File and name; of a function without a file, such as the `__init__` of a dataclass, by whom it was called."""
    name = frame.f_code.co_name
    while frame.f_code.co_filename.startswith("<") and frame.f_back:
        frame = frame.f_back
        name = f"{frame.f_code.co_name} > {name}"
    return f"{_short(frame.f_code.co_filename)}:{name}"


def _short(file: str) -> str:
    return "/".join(file.removeprefix(ROOT).split("/")[-3:])


def _package(file: str) -> str:
    parts = file.removeprefix(ROOT).removesuffix(".py").split("/")
    return "/".join(parts[: 2 if parts[0] in DEEP else 1])


class Statements:
    """Counts what the driver sends to Postgres, by the name of the query; transactions count their BEGIN and COMMIT."""

    def __init__(self) -> None:
        self._sent: Counter[str] = Counter()

    def start(self) -> None:
        """From here on, every new connection is counted."""
        from asyncpg.connection import Connection

        begin = Connection.__init__

        def counted(connection: Any, *given: Any, **named: Any) -> None:
            begin(connection, *given, **named)
            connection.add_query_logger(self._note)

        Connection.__init__ = counted

    def reading(self) -> dict[str, Any]:
        """Everything until now."""
        names = {thing.sql: thing.name for thing in gc.get_objects() if isinstance(thing, Query)}
        named: Counter[str] = Counter()
        for text, count in self._sent.items():
            named[names.get(text) or " ".join(text.split())[:40]] += count
        return {"statements": dict(named)}

    def _note(self, record: Any) -> None:
        self._sent[record.query] += 1


def difference(after: dict[str, Any], before: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What was added between two readings."""
    return {
        name: {key: value - before[name].get(key, 0) for key, value in of.items() if value != before[name].get(key, 0)}
        for name, of in after.items()
    }


def tell(reading: dict[str, Any]) -> None:
    """A reading as one line on stdout."""
    print(json.dumps(reading), flush=True)
