"""A worker process that kills itself, with SIGKILL, the first time it reaches a named point.

`python -m tests.crash.worker '{"temporal": …, "database": …, "queue": …, "witness": …, "die_at": …, "marker": …}'`
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any

from temporalio.client import Client
from temporalio.worker import (
    ContinueAsNewInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from workers.plugin import stanchion_plugin
from workers.settings import Settings
from workers.worker import ROLES, build, work
from workflows.contracts.runs import RolloverCaps

GIVEN: dict[str, Any] = json.loads(sys.argv[1]) if __name__ == "__main__" else {}


def reached(where: str) -> None:
    """Die here, if this is the point, and no process has died at it before."""
    if where != GIVEN["die_at"]:
        return
    try:
        os.close(os.open(GIVEN["marker"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


async def checkpoint(where: str) -> None:
    """The gateway calls this at each boundary of a call."""
    reached(where)


class DiesAtRollover(Interceptor):
    """Reaches the point `continue-as-new` when a run decides to go on in a fresh history, before the server knows."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """See the base class."""
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def continue_as_new(self, input: ContinueAsNewInput) -> Any:
        reached("continue-as-new")
        return super().continue_as_new(input)


async def main() -> None:
    """Work until killed."""
    client = await Client.connect(GIVEN["temporal"], plugins=[stanchion_plugin()])
    settings = Settings(
        task_queue=GIVEN["queue"],
        dangerously_accept_unsigned_decisions=True,
        forbid_real_model_calls=True,
        rollover=RolloverCaps(**GIVEN.get("rollover", {})),
        tool_settings={"witness": GIVEN["witness"]},
    )
    parts = build(settings, GIVEN["database"], checkpoint)
    ready = lambda: print("ready", flush=True)  # noqa: E731
    await work(client, settings, parts, ROLES, asyncio.Event(), ready, interceptors=[DiesAtRollover()])


if __name__ == "__main__":
    asyncio.run(main())
