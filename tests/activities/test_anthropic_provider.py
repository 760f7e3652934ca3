"""Anthropic's API as a provider, over a real connection to a local server that streams, fails and refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from activities.errors import StanchionError, Transient, to_application_error
from activities.model.anthropic import AnthropicProvider, is_loopback
from activities.model.errors import (
    LONGEST_RETRY_AFTER,
    ModelAnswerGarbled,
    ModelCallsForbidden,
    ModelKeyRejected,
    ModelOverloaded,
    ModelRateLimited,
    ModelRequestRejected,
    ModelUnknown,
    ModelUnreachable,
)
from activities.model.provider import (
    Completion,
    Message,
    OfferedTool,
    Opaque,
    Prompt,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from activities.model.providers import Providers
from activities.model.scripted import ScriptedProvider
from tests.fakes.anthropic_api import (
    MODEL,
    FakeAnthropic,
    Part,
    Raw,
    Refused,
    Streamed,
    text,
    thinking,
    tool_use,
)

Ask = Callable[..., Awaitable[Completion]]

GOAL = Message(role="user", blocks=(Text(text="Find it."),))
FIND = OfferedTool(name="find", description="Find things.", input_schema={"type": "object", "properties": {}})


def nothing() -> None:
    """A beat that no one counts."""


def prompt(*messages: Message, **changes: Any) -> Prompt:
    """A prompt of step 3 that offers one tool."""
    plain: dict[str, Any] = {"model": "claude-test-1", "system": "Be brief.", "max_output_tokens": 1_000, "step": 3}
    return Prompt(**{**plain, "messages": messages or (GOAL,), "tools": (FIND,), **changes})


@pytest.fixture
async def api() -> AsyncIterator[FakeAnthropic]:
    """The server, anew for each test."""
    async with FakeAnthropic() as server:
        yield server


@pytest.fixture
async def provider(api: FakeAnthropic) -> AsyncIterator[AnthropicProvider]:
    """The provider under test, pointed at the server."""
    made = AnthropicProvider(api_key="sk-test", base_url=api.base_url, loopback_only=True)
    yield made
    await made.close()


@pytest.fixture
def ask(provider: AnthropicProvider) -> Ask:
    """Ask once, with whatever messages."""

    async def asked(*messages: Message, **changes: Any) -> Completion:
        return await provider.complete(prompt(*messages, **changes), nothing)

    return asked


# --- answers


async def test_text_usage_and_the_models_name_come_back(api: FakeAnthropic, ask: Ask) -> None:
    api.will(
        Streamed(
            (text("The answer is 42."),),
            usage={
                "input_tokens": 10,
                "output_tokens": 1,
                "cache_read_input_tokens": 70,
                "cache_creation_input_tokens": None,
            },
            final_usage={
                "output_tokens": 9,
                "input_tokens": 12,
                "cache_read_input_tokens": None,
                "cache_creation_input_tokens": 5,
            },
        )
    )
    found = await ask()
    assert found.blocks == (Text(text="The answer is 42."),)
    assert found.stop_reason == "end_turn"
    assert found.usage == Usage(input_tokens=12, output_tokens=9, cache_read_tokens=70, cache_write_tokens=5)
    assert found.model == MODEL


async def test_calls_get_our_ids_in_order_and_their_arguments_whole(api: FakeAnthropic, ask: Ask) -> None:
    parts = (text("Looking."), tool_use("find", '{"q": "naïve ☃", "n": [1, 2.5]}'), tool_use("find", ""))
    api.will(Streamed(parts, stop_reason="tool_use"))
    found = await ask()
    assert found.blocks == (
        Text(text="Looking."),
        ToolCall(call_id="3.0", name="find", input={"q": "naïve ☃", "n": [1, 2.5]}),
        ToolCall(call_id="3.1", name="find", input={}),
    )
    assert found.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{"to": "ana", "to": "eve"}', "'to' is repeated"),
        ('{"deep": {"to": 1, "to": 2}}', "'to' is repeated"),
        ('{"amount": NaN}', "NaN"),
        ('{"amount": -Infinity}', "Infinity"),
        ('{"amount": 1e999}', "too large"),
        ("[1, 2]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"a": ', "not valid"),
        ('{"a": 1} {"b": 2}', "not valid"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"\\ud800": 1}', "surrogate"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested"),
        ("[" * 100_000, "nested"),
        ('{"a": ' + "9" * 5_000 + "}", "not valid"),
    ],
)
async def test_arguments_that_cannot_be_read_make_an_invalid_call_and_are_never_repaired(
    api: FakeAnthropic, ask: Ask, written: str, said: str
) -> None:
    api.will(Streamed((tool_use("pay", written), tool_use("find", "{}")), stop_reason="tool_use"))
    bad, good = (await ask()).blocks
    assert bad == ToolCall(call_id="3.0", name="pay", input={}, invalid=bad.invalid)
    assert said in bad.invalid
    assert good == ToolCall(call_id="3.1", name="find", input={})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "end_turn"),
        ("stop_sequence", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("pause_turn", "pause_turn"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "context_exceeded"),
    ],
)
async def test_every_known_stop_reason_has_a_name_here(api: FakeAnthropic, ask: Ask, theirs: str, ours: str) -> None:
    api.will(Streamed((text("so"),), stop_reason=theirs))
    assert (await ask()).stop_reason == ours


@pytest.mark.parametrize("theirs", ["bored", None, "tool_use"])
async def test_a_stop_reason_that_is_unknown_or_untrue_is_garbled(
    api: FakeAnthropic, ask: Ask, theirs: str | None
) -> None:
    api.will(Streamed((text("so"),), stop_reason=theirs))
    with pytest.raises(ModelAnswerGarbled):
        await ask()


@pytest.mark.parametrize("stop", ["max_tokens", "model_context_window_exceeded", "refusal"])
@pytest.mark.parametrize("written", ['{"q": "a', '{"q": "a"}', ""])
async def test_a_call_that_the_answer_broke_off_in_is_dropped(
    api: FakeAnthropic, ask: Ask, stop: str, written: str
) -> None:
    api.will(Streamed((text("so"), tool_use("find", "{}"), tool_use("pay", written)), stop_reason=stop))
    assert (await ask()).blocks == (Text(text="so"), ToolCall(call_id="3.0", name="find", input={}))


async def test_text_that_cannot_be_stored_is_made_safe(api: FakeAnthropic, ask: Ask) -> None:
    api.will(Streamed((text("a\x00b\ud800c\U0001f600"),)))
    (found,) = (await ask()).blocks
    assert found == Text(text="a\ufffdb\ufffdc\U0001f600")
    assert found.model_dump_json()


async def test_kinds_of_events_still_to_be_invented_are_passed_over(api: FakeAnthropic, ask: Ask) -> None:
    api.will(Streamed((text("so"),), extra=({"type": "weather_report", "sun": True},)))
    assert (await ask()).blocks == (Text(text="so"),)


async def test_every_event_is_a_beat_and_pings_are_events(api: FakeAnthropic, provider: AnthropicProvider) -> None:
    gate, beats = asyncio.Event(), []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 20:  # the answer starts only once the pings before it were felt
            gate.set()

    api.will(Streamed((text("late"),), gate=gate))
    async with asyncio.timeout(10):
        assert (await provider.complete(prompt(), beat)).blocks == (Text(text="late"),)
    assert len(beats) > 20


# --- what is sent


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
        {"role": "user", "content": [{"type": "text", "text": "Find it."}]},
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
                {"type": "text", "text": "A note.", "cache_control": {"type": "ephemeral"}},
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


# --- failures


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (Refused(400, "invalid_request_error"), ModelRequestRejected),
        (Refused(401, "authentication_error"), ModelKeyRejected),
        (Refused(402, "billing_error"), ModelKeyRejected),
        (Refused(403, "permission_error"), ModelKeyRejected),
        (Refused(404, "not_found_error"), ModelUnknown),
        (Refused(408, "timeout_error"), ModelUnreachable),
        (Refused(418), ModelRequestRejected),
        (Refused(429, "rate_limit_error"), ModelRateLimited),
        (Refused(429, "rate_limit_error", code="enforced_spend_limit_reached"), ModelKeyRejected),
        (Refused(500), ModelUnreachable),
        (Refused(502), ModelUnreachable),
        (Refused(503), ModelOverloaded),
        (Refused(504, "timeout_error"), ModelUnreachable),
        (Refused(529, "overloaded_error"), ModelOverloaded),
    ],
)
async def test_a_refusal_says_by_its_type_what_to_do_and_is_asked_for_once(
    api: FakeAnthropic, ask: Ask, refused: Refused, kind: type[StanchionError]
) -> None:
    api.will(refused)
    with pytest.raises(StanchionError) as error:
        await ask()
    assert type(error.value) is kind
    assert "sk-test" not in str(error.value)
    assert len(api.messages) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "86400"}, LONGEST_RETRY_AFTER.total_seconds()),
        ({"retry-after": "1e300"}, LONGEST_RETRY_AFTER.total_seconds()),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
async def test_the_time_to_wait_is_the_providers(
    api: FakeAnthropic, ask: Ask, headers: Mapping[str, str], seconds: float | None
) -> None:
    api.will(Refused(429, "rate_limit_error", headers=headers))
    with pytest.raises(ModelRateLimited) as error:
        await ask()
    after = error.value.retry_after
    assert (after.total_seconds() if after else None) == seconds
    assert to_application_error(error.value).next_retry_delay == after


async def test_the_time_to_wait_may_be_a_date(api: FakeAnthropic, ask: Ask) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    api.will(Refused(529, "overloaded_error", headers={"retry-after": moment}))
    with pytest.raises(ModelOverloaded) as error:
        await ask()
    assert error.value.retry_after is not None
    assert timedelta(minutes=9) < error.value.retry_after <= timedelta(minutes=10)


@pytest.mark.parametrize("events", range(1, 9))
async def test_a_stream_that_is_cut_is_garbled_wherever_it_is_cut(api: FakeAnthropic, ask: Ask, events: int) -> None:
    whole = Streamed((text("The answer is"), tool_use("find", "{}")), stop_reason="tool_use")
    assert events < len(whole.events())
    api.will(Streamed(whole.parts, stop_reason="tool_use", cut_after=events))
    with pytest.raises(ModelAnswerGarbled):
        await ask()


async def test_a_line_that_breaks_after_the_last_word_loses_nothing(api: FakeAnthropic, ask: Ask) -> None:
    whole = Streamed((text("so"),))
    api.will(Streamed(whole.parts, cut_after=len(whole.events())))
    assert (await ask()).blocks == (Text(text="so"),)


def event(**data: Any) -> bytes:
    """One event on the wire."""
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


START = event(type="message_start", message={"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}})
END = event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={}) + event(type="message_stop")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff\xfe garbage \n\n",
        b"<html>Proxy error</html>",
        b"event: message_start\ndata: {not json\n\n",
        b"event: message_start\ndata: [1]\n\n",
        b'event: error\ndata: {"type": "error"}\n\n',
        START,
        END,
        START + END.removesuffix(event(type="message_stop")),
        START + event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}) + END,
        START + event(type="content_block_start", index=0, content_block={"type": "text", "text": "a"}) + END,
        START
        + event(type="content_block_start", index=0, content_block="text")
        + event(type="content_block_stop", index=0)
        + END,
        START + event(type="message_delta", delta={"stop_reason": ["end_turn"]}, usage={}) + event(type="message_stop"),
        START.replace(b'"input_tokens": 1', b'"input_tokens": "1"') + END,
        START.replace(b'"input_tokens": 1', b'"input_tokens": -1') + END,
        START.replace(b'"input_tokens": 1, ', b"") + END,
        START.replace(b'"input_tokens": 1', b'"input_tokens": 1, "input_tokens": 0') + END,
    ],
)
async def test_what_is_no_whole_answer_is_garbled(api: FakeAnthropic, ask: Ask, body: bytes) -> None:
    api.will(Raw(body))
    with pytest.raises(ModelAnswerGarbled):
        await ask()


async def test_a_block_that_cannot_be_kept_as_it_is_garbles_the_answer(api: FakeAnthropic, ask: Ask) -> None:
    odd = Part({"type": "new_block"}, ({"type": "new_delta", "piece": "a"},))
    api.will(Streamed((odd,)), Streamed((thinking("a\x00b", "sig"),)))
    for _ in range(2):
        with pytest.raises(ModelAnswerGarbled):
            await ask()


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("overloaded_error", ModelOverloaded),
        ("rate_limit_error", ModelRateLimited),
        ("api_error", ModelUnreachable),
        ("timeout_error", ModelUnreachable),
        ("authentication_error", ModelKeyRejected),
        ("invalid_request_error", ModelRequestRejected),
        ("odd_error", ModelAnswerGarbled),
    ],
)
async def test_an_error_inside_a_stream_means_what_it_means_outside(
    api: FakeAnthropic, ask: Ask, type_: str, kind: type[StanchionError]
) -> None:
    api.will(Streamed((text("so"),), extra=({"type": "error", "error": {"type": type_, "message": "no"}},)))
    with pytest.raises(StanchionError) as error:
        await ask()
    assert type(error.value) is kind


async def test_no_one_listening_is_unreachable(unused_tcp_port: int) -> None:
    provider = AnthropicProvider(api_key="sk-test", base_url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(ModelUnreachable):
        await provider.complete(prompt(), nothing)
    await provider.close()


async def test_a_line_that_stays_silent_is_unreachable() -> None:
    connected = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read(-1)  # until the client gives up
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    provider = AnthropicProvider(api_key="sk-test", base_url=url, silence=timedelta(milliseconds=200))
    async with server:
        with pytest.raises(ModelUnreachable):
            await provider.complete(prompt(), nothing)
        await provider.close()
    assert connected.is_set()


async def test_a_cancelled_call_lets_go_of_its_connection(api: FakeAnthropic, provider: AnthropicProvider) -> None:
    gate, felt = asyncio.Event(), asyncio.Event()
    api.will(Streamed((text("late"),), gate=gate), Streamed((text("next"),)))
    call = asyncio.create_task(provider.complete(prompt(), felt.set))
    await felt.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.set()
    assert (await provider.complete(prompt(), nothing)).blocks == (Text(text="next"),)


# --- a prompt that does not fit


async def test_a_prompt_that_measures_too_long_is_an_answer_and_no_error(api: FakeAnthropic, ask: Ask) -> None:
    api.tokens = api.window
    api.will(Refused(400, "invalid_request_error", message="whatever the words are"))
    found = await ask()
    assert (found.stop_reason, found.blocks, found.usage) == ("context_exceeded", (), Usage())


async def test_a_prompt_that_fits_is_rejected_whatever_the_words_are(api: FakeAnthropic, ask: Ask) -> None:
    api.will(Refused(400, "invalid_request_error", message="prompt is too long: 300000 tokens > 200000 maximum"))
    with pytest.raises(ModelRequestRejected):
        await ask()


async def test_a_400_that_names_its_cause_is_not_measured(api: FakeAnthropic, ask: Ask) -> None:
    api.tokens = api.window
    api.will(Refused(400, "invalid_request_error", code="organization_on_hold"))
    with pytest.raises(ModelRequestRejected):
        await ask()
    assert len(api.requests) == 1


async def test_a_body_too_large_for_the_api_does_not_fit_either(api: FakeAnthropic, ask: Ask) -> None:
    api.will(Refused(413, "request_too_large"))
    assert (await ask()).stop_reason == "context_exceeded"


# --- who may be called


async def test_a_worker_without_a_key_says_so_and_reads_no_environment(
    api: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-from-the-environment")
    with pytest.raises(ModelKeyRejected, match="no key"):
        await AnthropicProvider(api_key=None, base_url=api.base_url).complete(prompt(), nothing)
    assert api.requests == []


async def test_the_address_given_goes_before_the_environments(
    api: FakeAnthropic, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    api.will(Streamed((text("ok"),)))
    assert (await ask()).blocks == (Text(text="ok"),)


@pytest.mark.parametrize(
    "base_url", [None, "https://api.anthropic.com", "http://127.0.0.1.evil.example", "http://10.0.0.1"]
)
async def test_with_real_calls_forbidden_nothing_leaves_this_machine(base_url: str | None) -> None:
    providers = Providers(anthropic_api_key="sk-test", anthropic_base_url=base_url, forbid_real_calls=True)
    provider, model = providers.for_model("anthropic:claude-test-1")
    with pytest.raises(ModelCallsForbidden):
        await provider.complete(prompt(model=model), nothing)
    await providers.close()


async def test_with_real_calls_forbidden_a_local_server_still_answers(api: FakeAnthropic) -> None:
    providers = Providers(anthropic_api_key="sk-test", anthropic_base_url=api.base_url, forbid_real_calls=True)
    api.will(Streamed((text("ok"),)))
    provider, model = providers.for_model("anthropic:claude-test-1")
    assert (await provider.complete(prompt(model=model), nothing)).blocks == (Text(text="ok"),)
    assert api.messages[0].body["model"] == "claude-test-1"
    await providers.close()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8080/x", True),
        ("http://127.8.0.1", True),
        ("http://[::1]:1", True),
        ("http://localhost.example", False),
        ("http://127.0.0.1@evil.example", False),
        ("http://0.0.0.0", False),
        ("nonsense", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(url: str, local: bool) -> None:
    assert is_loopback(url) is local


@pytest.mark.parametrize("model", ["openai:gpt-6", "claude-opus-5", "anthropic:", ":x", ""])
def test_an_unknown_provider_is_refused_and_the_known_ones_named(model: str) -> None:
    with pytest.raises(ModelUnknown, match=r"anthropic:…, scripted:…") as error:
        Providers().for_model(model)
    assert not isinstance(error.value, Transient)


def test_a_models_name_keeps_everything_after_the_first_colon() -> None:
    provider, name = Providers().for_model("scripted:agents.demo:turn")
    assert isinstance(provider, ScriptedProvider)
    assert name == "agents.demo:turn"
