"""The tools that the gateway performs itself: `wait`, `read_output` and `delegate`.

Every agent has the first two. An agent has `delegate` if its definition names agents to delegate to.
"""

from typing import Annotated

from pydantic import Field

from activities.tools.context import ToolContext
from activities.tools.contracts import Idempotent, Pure
from activities.tools.decorator import tool
from activities.tools.errors import ToolError

LONGEST_WAIT = 30 * 24 * 60  # minutes
LONGEST_TASK = 32_000  # characters, the same limit as for a goal


@tool(effect="read", contract=Pure(), output="trusted")
async def wait(ctx: ToolContext, minutes: Annotated[float, Field(gt=0, le=LONGEST_WAIT)], reason: str = "") -> str:
    """Sleep before going on, to look again later. Costs nothing meanwhile. A message from a person ends it early."""
    raise ToolError("the gateway serves this tool itself")


@tool(effect="read", contract=Pure(), output="untrusted")
async def read_output(ctx: ToolContext, call_id: str, page: Annotated[int, Field(ge=1)] = 1) -> str:
    """Read one page of the output of an earlier call, where the transcript shows only its beginning."""
    raise ToolError("the gateway serves this tool itself")


@tool(effect="read", contract=Idempotent(), output="untrusted")
async def delegate(
    ctx: ToolContext,
    agent: str,
    task: Annotated[str, Field(min_length=1, max_length=LONGEST_TASK)],
    usd: Annotated[str | None, Field(pattern=r"^[0-9]{1,10}(\.[0-9]{1,6})?$")] = None,
    tokens: Annotated[int | None, Field(ge=1)] = None,
    tool_calls: Annotated[int | None, Field(ge=0)] = None,
    minutes: Annotated[int | None, Field(ge=1)] = None,
) -> str:
    """Have another agent do a part of the work, and read its answer. It knows the task as you write it here and what
    the user said, nothing else of yours. What it may use is taken out of your own budget; what it leaves comes back to
    you. Calls side by side run side by side."""
    raise ToolError("the gateway serves this tool itself")
