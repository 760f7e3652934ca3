"""Workers in processes of their own, which kill themselves at a boundary of a call."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.crash.witness import Witness
from tests.harness.stanchion import Stanchion

ROOT = Path(__file__).parents[2]


async def doomed(
    system: Stanchion, temporal: str, witness: Witness, die_at: str | None, marker: Path, **more: Any
) -> asyncio.subprocess.Process:
    """A worker for this system that dies the first time it gets there: `marker` says that one has."""
    settings = {
        "temporal": temporal,
        "database": system.database_url,
        "queue": system.settings.task_queue,
        "witness": witness.url,
        "die_at": die_at,
        "marker": str(marker),
        **more,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.worker", json.dumps(settings)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.DEVNULL,
    )
