"""What a model's answer means for the run: perform its calls, end, or ask again with a note. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from activities.model.provider import Completion, Message, Text, ToolCall

CUT_NOTE = "Your last answer was cut at the output limit. Go on from where it stopped, in smaller parts."
THOUGHT_NOTE = "Your last turn used the whole output limit for thinking, and said nothing. Think less, and answer now."
EMPTY_NOTE = "Your last answer was empty. Say what the result is, or call a tool."

Next = Literal["calls", "answer", "again", "refused", "context", "empty", "thinking"]


@dataclass(frozen=True)
class Turn:
    """How the run goes on, and the note that the model reads before its next answer."""

    next: Next
    note: str | None = None


def turn_of(completion: Completion, messages: Sequence[Message]) -> Turn:
    """The turn that `completion` is, after the `messages` of its prompt.

    An answer that says nothing is asked for once more: `empty` and `thinking` are said of the second one in a row. If
    the model said something beside its last calls, that is its answer.
    """
    has_calls = any(isinstance(block, ToolCall) for block in completion.blocks)
    says_something = has_calls or _has_text(completion)
    match completion.stop_reason:
        case "refusal":
            return Turn("refused")
        case "context_exceeded":
            return Turn("context")
        case "pause_turn":
            return Turn("again")
        case "max_tokens" if has_calls:
            return Turn("calls")
        case "max_tokens" if says_something:
            return Turn("again", CUT_NOTE)
        case "max_tokens":
            return Turn("thinking") if _ends_with(messages, THOUGHT_NOTE) else Turn("again", THOUGHT_NOTE)
        case "end_turn" | "tool_use" if has_calls:
            return Turn("calls")
        case "end_turn" | "tool_use":
            if says_something or _has_spoken(messages):
                return Turn("answer")
            return Turn("empty") if _ends_with(messages, EMPTY_NOTE) else Turn("again", EMPTY_NOTE)


def _has_text(message: Completion | Message) -> bool:
    return any(isinstance(block, Text) and block.text.strip() for block in message.blocks)


def _has_spoken(messages: Sequence[Message]) -> bool:
    """Whether the model's last turn said something: beside its calls, or before a message overtook it."""
    last = next((message for message in reversed(messages) if message.role == "assistant"), None)
    return last is not None and _has_text(last)


def _ends_with(messages: Sequence[Message], note: str) -> bool:
    last = messages[-1].blocks[-1] if messages and messages[-1].blocks else None
    return isinstance(last, Text) and last.text == note
