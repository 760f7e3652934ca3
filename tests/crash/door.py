"""A worker's gateway in a process of its own: it is given calls, puts them all at once, and may kill itself on the way.

`python -m tests.crash.door '{"database": …, "witness": …, "die_at": …, "calls": [[run_id, call_id], …]}'`
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any

from activities.errors import Transient
from workers.settings import Settings
from workers.worker import build
from workflows.contracts.calls import CallRequest

GIVEN: dict[str, Any] = json.loads(sys.argv[1]) if __name__ == "__main__" else {}


async def checkpoint(where: str) -> None:
    """The gateway calls this at each boundary of a call."""
    if where == GIVEN["die_at"]:
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    """Put every call until it has an answer, as Temporal would."""
    settings = Settings(forbid_real_model_calls=True, tool_settings={"witness": GIVEN["witness"]})
    parts = build(settings, GIVEN["database"], checkpoint)

    async def put(run_id: str, call_id: str) -> None:
        while True:
            try:
                await parts.gateway.call(CallRequest(run_id=run_id, call_id=call_id))
                return
            except Transient:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(put(*call) for call in GIVEN["calls"]))
    sys.stdout.flush()
    os._exit(0)  # the interpreter sometimes aborts on its way out, long after all is done


if __name__ == "__main__":
    asyncio.run(main())
