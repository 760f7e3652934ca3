"""What comes back: the events of a streamed answer become blocks, or the answer is garbled; nothing is repaired."""

import pytest

from activities.model.errors import ModelAnswerGarbled
from activities.model.provider import Text, ToolCall, Usage
from tests.activities.asking import Ask, prompt
from tests.fakes.anthropic_api import FakeAnthropic, Streamed, text, tool_use


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
    assert found.model == prompt().model


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


# --- answers that are not whole


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
