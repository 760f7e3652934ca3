"""Tools that every agent has. The gateway serves both itself: one is a timer, the other reads its own blobs."""

from typing import Annotated

from pydantic import Field

from activities.tools.context import ToolContext
from activities.tools.contracts import Pure
from activities.tools.decorator import tool
from activities.tools.errors import ToolError

LONGEST_WAIT = 30 * 24 * 60  # minutes


@tool(effect="read", contract=Pure(), output="trusted")
async def wait(ctx: ToolContext, minutes: Annotated[float, Field(gt=0, le=LONGEST_WAIT)], reason: str = "") -> str:
    """Sleep before going on, to look again later. Costs nothing meanwhile. A message from a person ends it early."""
    raise ToolError("the gateway serves this tool itself")


@tool(effect="read", contract=Pure(), output="untrusted")
async def read_output(ctx: ToolContext, call_id: str, page: Annotated[int, Field(ge=1)] = 1) -> str:
    """Read one page of the output of an earlier call, where the transcript shows only its beginning."""
    raise ToolError("the gateway serves this tool itself")
