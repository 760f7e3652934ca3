"""What a model's answer means for the run."""

from typing import Any

import pytest

from activities.model.provider import Completion, Message, Opaque, Text, ToolCall, ToolResult, Usage
from activities.model.turns import CUT_NOTE, EMPTY_NOTE, THOUGHT_NOTE, Turn, turn_of

CALL = ToolCall(call_id="1.0", name="look", input={})
THOUGHT = Opaque(vendor="anthropic", block={"type": "thinking", "thinking": "hm"})
RESULT = Message(role="user", blocks=(ToolResult(call_id="1.0", text="found"),))
SILENT_CALL = Message(role="assistant", blocks=(CALL,))
SPOKEN_CALL = Message(role="assistant", blocks=(Text(text="It is 42."), CALL))


def note(text: str) -> Message:
    return Message(role="user", blocks=(Text(text=text),))


@pytest.mark.parametrize(
    ("blocks", "stop_reason", "messages", "turn"),
    [
        ((Text(text="done"),), "end_turn", (), Turn("answer")),
        ((CALL,), "tool_use", (), Turn("calls")),
        ((CALL,), "end_turn", (), Turn("calls")),
        ((), "refusal", (), Turn("refused")),
        ((), "context_exceeded", (), Turn("context")),
        ((), "pause_turn", (), Turn("again")),
        ((Text(text="half"),), "max_tokens", (), Turn("again", CUT_NOTE)),
        ((CALL,), "max_tokens", (), Turn("calls")),
        ((THOUGHT,), "max_tokens", (), Turn("again", THOUGHT_NOTE)),
        ((THOUGHT,), "max_tokens", (note(THOUGHT_NOTE),), Turn("thinking")),
        ((Text(text="half"),), "max_tokens", (note(THOUGHT_NOTE),), Turn("again", CUT_NOTE)),
        ((), "end_turn", (), Turn("again", EMPTY_NOTE)),
        ((Text(text="  \n"),), "end_turn", (SILENT_CALL, RESULT), Turn("again", EMPTY_NOTE)),
        ((THOUGHT,), "end_turn", (SILENT_CALL, RESULT), Turn("again", EMPTY_NOTE)),
        ((), "end_turn", (SILENT_CALL, RESULT, note(EMPTY_NOTE)), Turn("empty")),
        ((), "end_turn", (SPOKEN_CALL, RESULT), Turn("answer")),
        ((), "end_turn", (SPOKEN_CALL, RESULT, SILENT_CALL, RESULT), Turn("again", EMPTY_NOTE)),
        ((Text(text="done"),), "end_turn", (note(EMPTY_NOTE),), Turn("answer")),
    ],
)
def test_what_an_answer_means(blocks: Any, stop_reason: Any, messages: tuple[Message, ...], turn: Turn) -> None:
    answer = Completion(blocks=blocks, stop_reason=stop_reason, usage=Usage(), model="m")
    assert turn_of(answer, messages) == turn
