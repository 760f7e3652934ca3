"""What is sent: a conversation goes out as the API demands it, over a real connection to a local server."""

import pytest

from activities.model.errors import ModelRequestRejected
from activities.model.provider import Message, Opaque, Text, ToolCall, ToolResult
from tests.activities.asking import FIND, GOAL, Ask
from tests.fakes.anthropic_api import FakeAnthropic, Part, Streamed, text, thinking, tool_use

MARK = {"type": "ephemeral"}


async def test_a_conversation_goes_out_as_the_api_wants_it(api: FakeAnthropic, ask: Ask) -> None:
    thought = Opaque(vendor="anthropic", block={"type": "thinking", "thinking": "Hm.", "signature": "sig=="})
    foreign = Opaque(vendor="openai", block={"type": "reasoning", "id": "rs_1"})
    calls = (ToolCall(call_id="1.0", name="find", input={"q": 1}), ToolCall(call_id="1.1", name="find", input={}))
    results = (ToolResult(call_id="1.1", text="none", is_error=True), ToolResult(call_id="1.0", text="two\x00"))
    api.will(Streamed((text("ok"),)))
    await ask(
        GOAL,
        Message(role="assistant", blocks=(thought, foreign, Text(text=" "), *calls)),
        Message(role="user", blocks=(Text(text="A note."), results[0])),
        Message(role="user", blocks=(results[1],)),
    )
    (sent,) = api.messages
    assert sent.body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Find it.", "cache_control": MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "sig=="},
                {"type": "tool_use", "id": "call_1_0", "name": "find", "input": {"q": 1}},
                {"type": "tool_use", "id": "call_1_1", "name": "find", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1_1", "content": "none", "is_error": True},
                {"type": "tool_result", "tool_use_id": "call_1_0", "content": "two\ufffd"},
                {"type": "text", "text": "A note.", "cache_control": MARK},
            ],
        },
    ]
    assert sent.body["tools"] == [FIND.model_dump()]
    assert sent.body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert sent.body["max_tokens"] == 1_000
    assert sent.body["stream"] is True
    assert "thinking" not in sent.body
    assert sent.headers["Authorization"] == "Bearer sk-test"


async def test_a_vendors_own_blocks_come_back_to_it_unchanged(api: FakeAnthropic, ask: Ask) -> None:
    search = Part(
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        ({"type": "input_json_delta", "partial_json": '{"query": "x"}'},),
    )
    hidden = Part({"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"})
    api.will(Streamed((thinking("Let me think.", "sig=="), hidden, search, text("so"))), Streamed((text("ok"),)))
    first = await ask()
    await ask(GOAL, Message(role="assistant", blocks=first.blocks), GOAL)
    assert api.messages[1].body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Let me think.", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "text", "text": "so"},
    ]


async def test_a_turn_that_is_only_thinking_is_not_sent_back(api: FakeAnthropic, ask: Ask) -> None:
    api.will(
        Streamed((thinking("Hm.", "sig"), tool_use("find", "{")), stop_reason="max_tokens"), Streamed((text("k"),))
    )
    first = await ask()
    assert [type(block) for block in first.blocks] == [Opaque]
    await ask(GOAL, Message(role="assistant", blocks=first.blocks), GOAL)
    assert len(api.messages[1].body["messages"]) == 1


async def test_a_name_or_id_that_the_api_would_refuse_is_written_in_its_letters(api: FakeAnthropic, ask: Ask) -> None:
    call = ToolCall(call_id="1.0", name="säge it!", input={"a": "\ud800"})
    api.will(Streamed((text("ok"),)))
    answer = Message(role="user", blocks=(ToolResult(call_id="1.0", text="no such tool"),))
    await ask(GOAL, Message(role="assistant", blocks=(call,)), answer)
    (sent,) = api.messages[0].body["messages"][1]["content"]
    assert sent == {"type": "tool_use", "id": "call_1_0", "name": "s_ge_it_", "input": {"a": "\ufffd"}}


async def test_models_that_bind_their_thinking_are_asked_to_drop_it_rather_than_refuse(
    api: FakeAnthropic, ask: Ask
) -> None:
    api.will(Streamed((text("ok"),)))
    await ask(model="claude-opus-5-5")
    sent = api.messages[0]
    assert sent.body["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert sent.headers["anthropic-beta"] == "thinking-binding-controls-2026-08-01"


async def test_a_conversation_that_the_api_refuses_is_rejected_and_not_retried(api: FakeAnthropic, ask: Ask) -> None:
    with pytest.raises(ModelRequestRejected, match="do not pair"):
        await ask(GOAL, Message(role="assistant", blocks=(ToolCall(call_id="1.0", name="find", input={}),)), GOAL)
    assert len(api.messages) == 1


def step(number: int, calls: int, text: str = "found") -> tuple[Message, Message]:
    """A turn with many calls, and their results."""
    asked = tuple(ToolCall(call_id=f"{number}.{n}", name="find", input={}) for n in range(calls))
    return (
        Message(role="assistant", blocks=asked),
        Message(role="user", blocks=tuple(ToolResult(call_id=call.call_id, text=text) for call in asked)),
    )


async def test_the_mark_of_the_step_before_stands_again_however_many_calls_lie_between(
    api: FakeAnthropic, ask: Ask
) -> None:
    first, second = step(1, 2), step(2, 40)
    api.will(Streamed((text("ok"),)), Streamed((text("ok"),)))
    await ask(GOAL, *first)
    await ask(GOAL, *first, *second)
    before, after = (request.body["messages"] for request in api.messages)
    assert after[2]["content"][-1] == before[2]["content"][-1]
    assert after[2]["content"][-1]["cache_control"] == after[4]["content"][-1]["cache_control"] == MARK


async def test_a_block_without_text_is_never_marked(api: FakeAnthropic, ask: Ask) -> None:
    api.will(Streamed((text("ok"),)), Streamed((text("ok"),)))
    filled = Message(role="user", blocks=(ToolResult(call_id="1.0", text="x"), ToolResult(call_id="1.1", text=" ")))
    await ask(GOAL, step(1, 2)[0], filled)
    await ask(GOAL, *step(1, 2, text=""))
    some, none = (request.body["messages"][2]["content"] for request in api.messages)
    assert ["cache_control" in block for block in some] == [True, False]
    assert ["cache_control" in block for block in none] == [False, False]
