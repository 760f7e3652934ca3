"""The command line as somebody types it: a process of its own, which sees nothing of what whoever tests configured."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import OTHERS

PATIENCE = 300.0  # seconds for one command, bring-up included, on a busy machine


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
    """Somebody's terminal: `await terminal("approve", "ap-…", "--json")`. `servers`: where they are."""

    home: Path
    servers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, *words: str, **more: str) -> Left:
        """Type a command, with `more` in its environment."""
        foreign = ("TEMPORAL_", "STANCHION_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign) and k not in OTHERS}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workers.cli", *words,
            env=kept | {"STANCHION_HOME": str(self.home)} | dict(self.servers) | more,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return Left(process.returncode, out.decode(), err.decode())
