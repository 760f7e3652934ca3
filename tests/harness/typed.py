"""The command line as somebody types it: a process of its own, on a test's servers, in a state folder of its own."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 120.0  # seconds for one command, on a busy machine


@dataclass(frozen=True)
class Left:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its standard output, as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """Somebody's terminal: `await terminal("approve", "ap-…", "--json")`."""

    home: Path
    temporal: str
    database_url: str

    async def __call__(self, *words: str) -> Left:
        """Type a command."""
        own = {"STANCHION_HOME": str(self.home), "TEMPORAL_ADDRESS": self.temporal, "DATABASE_URL": self.database_url}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workers.cli", *words, env={**os.environ, **own},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return Left(process.returncode, out.decode(), err.decode())
