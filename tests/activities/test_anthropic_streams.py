"""Streams that deviate from the API, as gateways in front of it send them: read if clear, else refused once."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from activities.errors import Transient
from activities.model.anthropic import AnthropicProvider
from activities.model.anthropic.answer import Answer
from activities.model.anthropic.events import Body
from activities.model.errors import ModelAnswerGarbled, ModelSpeaksOtherwise, ModelUnreachable
from activities.model.provider import AnyBlock, Completion, Opaque, Text, ToolCall
from tests.activities.asking import Ask, nothing, prompt
from tests.fakes.anthropic_api import FakeAnthropic, Json, Raw, Streamed, sse, text, thinking, tool_use

START: Json = {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}}}
DELTA: Json = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}
STOP: Json = {"type": "message_stop"}
PING: Json = {"type": "ping"}
SO = (Text(text="so"),)


def block(index: Any, start: Json, *deltas: Json, ended: bool = True) -> list[Json]:
    """The events of one content block."""
    events: list[Json] = [{"type": "content_block_start", "index": index, "content_block": start}]
    events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [*events, {"type": "content_block_stop", "index": index}] if ended else events


def said(index: Any = 0, words: str = "so", ended: bool = True) -> list[Json]:
    """A block of text."""
    return block(index, {"type": "text", "text": ""}, {"type": "text_delta", "text": words}, ended=ended)


def called(index: Any, name: str, written: str = "{}", call_id: Any = None, ended: bool = True) -> list[Json]:
    """A tool call."""
    start = {"type": "tool_use", "id": call_id or f"toolu_{index}", "name": name, "input": {}}
    return block(index, start, {"type": "input_json_delta", "partial_json": written}, ended=ended)


def wire(*events: Json) -> bytes:
    """Events as the API sends them."""
    return b"".join(map(sse, events))


def stopped(reason: Any, **usage: Any) -> Json:
    """A `message_delta` with another reason to stop, or other usage."""
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage or {"output_tokens": 4}}


def started(**usage: Any) -> Json:
    """A `message_start` with other usage."""
    return {"type": "message_start", "message": {"model": "m", "usage": usage}}


def calls(*named: tuple[str, dict[str, Any]]) -> tuple[AnyBlock, ...]:
    """Tool calls of step 3, in order."""
    return tuple(ToolCall(call_id=f"3.{n}", name=name, input=given) for n, (name, given) in enumerate(named))


PLAIN = wire(START, *said(), DELTA, STOP)
MESSAGE: Json = {
    "type": "message",
    "model": "m",
    "content": [{"type": "text", "text": "so"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 4},
}
CLASSIC_MAC = PLAIN.replace(b"\n", b"\r")


@dataclass(frozen=True)
class Readable:
    """A stream with one clear meaning."""

    body: bytes
    blocks: tuple[AnyBlock, ...] = SO
    stop: str = "end_turn"
    missing: tuple[str, ...] = ()
    tokens: int = 13
    more: dict[str, Any] = field(default_factory=dict)


READABLE = {
    "as the API sends it": Readable(PLAIN),
    "the line stays open after the end": Readable(PLAIN, more={"afterwards": "stays open"}),
    "pings go on after the end": Readable(PLAIN, more={"afterwards": "pings on"}),
    "sentinel after the end": Readable(PLAIN + b"data: [DONE]\n\n"),
    "sentinel instead of the end": Readable(wire(START, *said(), DELTA) + b"data: [DONE]\n\n"),
    "sentinel before the end": Readable(wire(START, *said()) + b"data: [DONE]\n\n" + wire(DELTA, STOP)),
    "an event nobody knows, after the end": Readable(PLAIN + wire({"type": "billing", "usd": 1})),
    "an event nobody knows, in the middle": Readable(wire(START, {"type": "weather"}, *said(), DELTA, STOP)),
    "rubbish after the end": Readable(PLAIN + b"data: {not json\n\n\xff\xff"),
    "an error after the end": Readable(PLAIN + wire({"type": "error", "error": {"type": "api_error"}})),
    "a second message after the end": Readable(PLAIN + PLAIN),
    "CRLF": Readable(PLAIN.replace(b"\n", b"\r\n")),
    "CR alone": Readable(CLASSIC_MAC),
    "a byte-order mark": Readable(b"\xef\xbb\xbf" + PLAIN),
    "a byte-order mark before data": Readable(b"\xef\xbb\xbf" + PLAIN.removeprefix(b"event: message_start\n")),
    "no event names": Readable(
        b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in (START, *said(), DELTA, STOP))
    ),
    "wrong event names": Readable(PLAIN.replace(b"event: ", b"event: x_")),
    "no space after the colon": Readable(PLAIN.replace(b"data: ", b"data:")),
    "data over two lines": Readable(PLAIN.replace(b'"text_delta", ', b'"text_delta",\ndata: ')),
    "comments, ids and retries": Readable(b": hello\nid: 7\nretry: 100\n\n" + PLAIN),
    "blank lines in front": Readable(b"\n\n\n" + PLAIN),
    "three blank lines between events": Readable(PLAIN.replace(b"\n\n", b"\n\n\n\n")),
    "no blank line at the end": Readable(PLAIN.removesuffix(b"\n")),
    "no end, but a reason to stop": Readable(wire(START, *said(), DELTA)),
    "two last events": Readable(PLAIN + wire(STOP)),
    "gzip": Readable(gzip.compress(PLAIN), more={"headers": {"Content-Encoding": "gzip"}}),
    "said to be plain text": Readable(PLAIN, more={"content_type": "text/plain"}),
    "said to be JSON": Readable(PLAIN, more={"content_type": "application/json"}),
    "a document": Readable(json.dumps(MESSAGE).encode(), more={"content_type": "application/json"}),
    "a document said to be a stream": Readable(b"\n " + json.dumps(MESSAGE).encode()),
    "a document with a call": Readable(
        json.dumps(
            {**MESSAGE, "stop_reason": "tool_use", "content": [{"type": "tool_use", "name": "find", "input": {"q": 1}}]}
        ).encode(),
        calls(("find", {"q": 1})),
        "tool_use",
    ),
    "an answer of nothing": Readable(wire(START, DELTA, STOP), ()),
    "line separators inside a text": Readable(
        wire(START, *said(words="a")[:-1]).replace(b'"a"', '"a\u2028\u0085b"'.encode()) + wire(said()[-1], DELTA, STOP),
        (Text(text="a\u2028\u0085b"),),
    ),
    "usage only at the end": Readable(
        wire(started(), *said(), stopped("end_turn", input_tokens=9, output_tokens=4), STOP)
    ),
    "usage null at the beginning": Readable(
        wire(
            {"type": "message_start", "message": {"model": "m", "usage": None}},
            *said(),
            stopped("end_turn", input_tokens=9, output_tokens=4),
            STOP,
        )
    ),
    "usage missing at the end": Readable(
        wire(START, *said(), {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, STOP),
        missing=("output",),
        tokens=9,
    ),
    "usage null at the end": Readable(
        wire(START, *said(), {**DELTA, "usage": None}, STOP), missing=("output",), tokens=9
    ),
    "no usage at all": Readable(
        wire(
            {"type": "message_start", "message": {"model": "m"}},
            *said(),
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            STOP,
        ),
        missing=("prompt", "output"),
        tokens=0,
    ),
    "usage of zero": Readable(
        wire(started(input_tokens=0, output_tokens=0), *said(), stopped("end_turn", output_tokens=0), STOP),
        missing=("prompt", "output"),
        tokens=0,
    ),
    "usage as text": Readable(
        wire(started(input_tokens="9"), *said(), stopped("end_turn", output_tokens="4"), STOP),
        missing=("prompt", "output"),
        tokens=0,
    ),
    "negative usage": Readable(
        wire(started(input_tokens=-9), *said(), stopped("end_turn", output_tokens=-4), STOP),
        missing=("prompt", "output"),
        tokens=0,
    ),
    "usage in two events at the end": Readable(wire(START, *said(), stopped(None, output_tokens=2), DELTA, STOP)),
    "the reason to stop, then usage": Readable(
        wire(
            START,
            *said(),
            stopped("end_turn", output_tokens=2),
            {"type": "message_delta", "delta": None, "usage": {"output_tokens": 4}},
            STOP,
        )
    ),
    "no model named": Readable(
        wire({"type": "message_start", "message": {"usage": {"input_tokens": 9}}}, *said(), DELTA, STOP)
    ),
    "no reason to stop, text": Readable(wire(START, *said(), stopped(None), STOP)),
    "no reason to stop, a call": Readable(
        wire(START, *called(0, "find"), stopped(None), STOP), calls(("find", {})), "tool_use"
    ),
    "an unknown reason to stop, a call": Readable(
        wire(START, *called(0, "find"), stopped("done"), STOP), calls(("find", {})), "tool_use"
    ),
    "another vendor's end": Readable(wire(START, *said(), stopped("stop"), STOP)),
    "another vendor's limit": Readable(wire(START, *said(), stopped("length"), STOP), stop="max_tokens"),
    "another vendor's call": Readable(
        wire(START, *called(0, "find"), stopped("tool_calls"), STOP), calls(("find", {})), "tool_use"
    ),
    "another vendor's filter": Readable(wire(START, *said(), stopped("content_filter"), STOP), stop="refusal"),
    "an end of turn with a call": Readable(
        wire(START, *called(0, "find"), DELTA, STOP), calls(("find", {})), "end_turn"
    ),
    "blocks out of order": Readable(
        wire(START, *said(1, "b"), *said(0, "a"), DELTA, STOP), (Text(text="a"), Text(text="b"))
    ),
    "blocks interleaved": Readable(
        wire(START, *said(0, "a", ended=False), *said(1, "b"), said(0)[-1], DELTA, STOP),
        (Text(text="a"), Text(text="b")),
    ),
    "indices from one": Readable(
        wire(START, *said(1, "a"), *said(2, "b"), DELTA, STOP), (Text(text="a"), Text(text="b"))
    ),
    "one index for all": Readable(
        wire(START, *said(0, "a"), *said(0, "b"), DELTA, STOP), (Text(text="a"), Text(text="b"))
    ),
    "indices as text": Readable(
        wire(START, *said("1", "a"), *said("0", "b"), DELTA, STOP), (Text(text="a"), Text(text="b"))
    ),
    "a text nobody announced": Readable(wire(START, *said()[1:], DELTA, STOP)),
    "a text without end": Readable(wire(START, *said(ended=False), DELTA, STOP)),
    "a call without end": Readable(
        wire(START, *called(0, "find", ended=False), stopped("tool_use"), STOP), calls(("find", {})), "tool_use"
    ),
    "the end of a block that never was": Readable(wire(START, *said(), said(7)[-1], DELTA, STOP)),
    "an empty text": Readable(wire(START, *block(0, {"type": "text", "text": ""}), *said(1), DELTA, STOP)),
    "a text that starts with text": Readable(wire(START, *block(0, {"type": "text", "text": "so"}), DELTA, STOP)),
    "a call whose arguments come at its start": Readable(
        wire(
            START,
            *block(0, {"type": "tool_use", "id": "a", "name": "find", "input": {"q": 1}}),
            stopped("tool_use"),
            STOP,
        ),
        calls(("find", {"q": 1})),
        "tool_use",
    ),
    "one call sent twice": Readable(
        wire(START, *called(0, "pay", call_id="a"), *called(1, "pay", call_id="a"), stopped("tool_use"), STOP),
        calls(("pay", {})),
        "tool_use",
    ),
    "two calls with one id": Readable(
        wire(START, *called(0, "pay", '{"n": 1}', "a"), *called(1, "pay", '{"n": 2}', "a"), stopped("tool_use"), STOP),
        calls(("pay", {"n": 1}), ("pay", {"n": 2})),
        "tool_use",
    ),
    "equal calls with ids of their own": Readable(
        wire(START, *called(0, "pay"), *called(1, "pay"), stopped("tool_use"), STOP),
        calls(("pay", {}), ("pay", {})),
        "tool_use",
    ),
    "a block nobody knows": Readable(
        wire(START, *block(0, {"type": "chart", "rows": 2}), *said(1), DELTA, STOP),
        (Opaque(vendor="anthropic", block={"type": "chart", "rows": 2}), *SO),
    ),
    "a block nobody knows, in pieces nobody knows": Readable(
        wire(START, *block(0, {"type": "chart"}, {"type": "chart_delta", "row": 1}), *said(1), DELTA, STOP)
    ),
    "a content filter in the stream": Readable(
        wire(START, *said(), {"type": "error", "error": {"type": "content_filter", "message": "no"}}),
        stop="refusal",
        missing=("output",),
        tokens=9,
    ),
}


UNCLEAR = {
    "an HTML page": b"<html>Proxy error</html>",
    "bytes": b"\x00\xff\xfe garbage \n\n",
    "no UTF-8 in a text": PLAIN.replace(b"so", b"\xff\xfe"),
    "no JSON": b"event: message_start\ndata: {not json\n\n",
    "a list": b"event: message_start\ndata: [1]\n\n",
    "an event without a type": wire(START) + b'data: {"a": 1}\n\n',
    "an error without words": b'event: error\ndata: {"type": "error"}\n\n',
    "another API's document": b'{"choices": [{"message": {"content": "so"}}]}',
    "another API's stream": b'data: {"choices": [{"delta": {"content": "so"}}]}\n\ndata: [DONE]\n\n',
    "a document that is half a message": json.dumps({**MESSAGE, "content": None}).encode(),
    "an end without a beginning": wire(DELTA, STOP),
    "two beginnings": wire(START, *said(), START, *said(), DELTA, STOP),
    "two open blocks with one index": wire(START, *said(0, "a", ended=False), *said(0, "b"), DELTA, STOP),
    "more after a block's end": wire(START, *said(), said()[1], DELTA, STOP),
    "arguments of a call that was never announced": wire(START, *called(0, "find")[1:], DELTA, STOP),
    "a block that is a text": wire(
        START, {"type": "content_block_start", "index": 0, "content_block": "so"}, DELTA, STOP
    ),
    "pieces of another kind in a text": wire(
        START, *block(0, {"type": "text", "text": ""}, {"type": "odd", "odd": 1}), DELTA, STOP
    ),
    "a text of numbers": wire(
        START, *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": 7}), DELTA, STOP
    ),
    "a call without a name": wire(START, *block(0, {"type": "tool_use", "id": "a"}), stopped("tool_use"), STOP),
    "a call named by a number": wire(
        START, *block(0, {"type": "tool_use", "id": "a", "name": 7}), stopped("tool_use"), STOP
    ),
    "a stop for a tool that is not there": wire(START, *said(), stopped("tool_use"), STOP),
    "an unknown reason to stop": wire(START, *said(), stopped("bored"), STOP),
    "a reason to stop that is a list": wire(START, *said(), stopped(["end_turn"]), STOP),
    "a repeated key": PLAIN.replace(b'"input_tokens": 9', b'"input_tokens": 9, "input_tokens": 0'),
    "thinking that cannot be kept": wire(
        START, *block(0, {"type": "thinking", "thinking": "a\x00b", "signature": "s"}), DELTA, STOP
    ),
}


@pytest.mark.parametrize("name", READABLE)
async def test_a_stream_whose_meaning_is_clear_is_read(api: FakeAnthropic, ask: Ask, name: str) -> None:
    expected = READABLE[name]
    api.will(Raw(expected.body, **expected.more))
    found = await ask()
    assert found.blocks == expected.blocks
    assert found.stop_reason == expected.stop
    assert found.usage.missing == expected.missing
    assert found.usage.total == expected.tokens
    assert len(api.messages) == 1


@pytest.mark.parametrize("name", UNCLEAR)
async def test_a_stream_whose_meaning_is_not_clear_is_refused_for_good_and_names_its_sender(
    api: FakeAnthropic, ask: Ask, name: str
) -> None:
    api.will(Raw(UNCLEAR[name]))
    with pytest.raises(ModelSpeaksOtherwise) as refused:
        await ask()
    assert not isinstance(refused.value, Transient)
    assert api.base_url in str(refused.value)


def test_the_table_is_as_long_as_it_says() -> None:
    assert len(READABLE) + len(UNCLEAR) >= 60


async def test_a_line_that_only_pings_is_given_up(api: FakeAnthropic) -> None:
    stall = timedelta(milliseconds=100)
    provider = AnthropicProvider(api_key="sk-test", base_url=api.base_url, stall=stall)
    api.will(Raw(wire(START), afterwards="pings on"))
    with pytest.raises(ModelUnreachable, match="pings"):
        await provider.complete(prompt(), nothing)
    await provider.close()


# --- cuts


async def read(body: bytes, size: int) -> Completion:
    """What comes of a body in pieces of `size` bytes whose line then ends."""

    async def pieces() -> Any:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    answer, arriving = Answer(3), Body(pieces())
    if await arriving.is_document():
        answer.take_whole(await arriving.document())
    else:
        async for data in arriving.events():
            answer.take(data)
    return answer.completion()


def recorded(streamed: Streamed) -> bytes:
    """A stream as bytes."""
    return wire(*streamed.events())


RECORDED: dict[str, Callable[[], Streamed]] = {
    "text": lambda: Streamed((text("naïve ☃ text"),)),
    "calls": lambda: Streamed(
        (text("a"), tool_use("find", '{"q": "ü"}'), tool_use("pay", "{}")), stop_reason="tool_use"
    ),
    "thinking": lambda: Streamed((thinking("so", "sig"), text("a"))),
}


@pytest.mark.parametrize("name", RECORDED)
async def test_a_cut_at_any_byte_gives_the_whole_answer_or_asks_again(name: str) -> None:
    body = recorded(RECORDED[name]())
    whole = await read(body, len(body))
    is_enough = body.index(b'"message_delta"', body.rindex(b"event: message_delta")) + 1
    for cut in range(len(body)):
        try:
            found = await read(body[:cut], 1 + cut % 7)
        except ModelAnswerGarbled:
            assert cut < len(body) - len(sse(STOP))
        else:
            assert cut > is_enough
            assert found == whole


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_the_size_of_the_pieces_makes_no_difference(ends: bytes, size: int) -> None:
    body = PLAIN.replace(b"\n", ends)
    assert await read(body, size) == await read(PLAIN, len(PLAIN))
