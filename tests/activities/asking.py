"""What the tests of one provider ask with: a plain prompt, and a beat that no one counts."""

from collections.abc import Awaitable, Callable
from typing import Any

from activities.model.provider import Completion, Message, OfferedTool, Prompt, Text

Ask = Callable[..., Awaitable[Completion]]

GOAL = Message(role="user", blocks=(Text(text="Find it."),))
FIND = OfferedTool(name="find", description="Find things.", input_schema={"type": "object", "properties": {}})


def nothing() -> None:
    """A beat that no one counts."""


def prompt(*messages: Message, **changes: Any) -> Prompt:
    """A prompt of step 3 that offers one tool."""
    plain: dict[str, Any] = {"model": "claude-test-1", "system": "Be brief.", "max_output_tokens": 1_000, "step": 3}
    return Prompt(**{**plain, "messages": messages or (GOAL,), "tools": (FIND,), **changes})
