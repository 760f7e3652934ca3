"""Prompt -> the body of one request to the Messages API. Pure: no client, no I/O; the prompt stays as it is."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from activities.model.anthropic.blocks import VENDOR
from activities.model.provider import AnyBlock, Message, Opaque, Prompt, Text, ToolCall, ToolResult
from activities.storage.canonical import clean, clean_text

_CACHED = {"type": "ephemeral"}
_WIRE_NAME = re.compile(r"[^a-zA-Z0-9_-]")

# These models check that nothing before a thinking block has changed since it was written, and compaction changes it.
# `drop_block` has the API leave such blocks out instead of refusing the request. Adaptive thinking is their default.
# https://platform.claude.com/docs/en/build-with-claude/preserved-thinking/prefix-checks
_BOUND_THINKING = (
    "claude-fable-5-1",
    "claude-fable-5-2",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
)
_DROP_BLOCKS: Mapping[str, Any] = {
    "extra_headers": {"anthropic-beta": "thinking-binding-controls-2026-08-01"},
    "extra_body": {"thinking": {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}},
}


def request_body(prompt: Prompt) -> dict[str, Any]:
    """The arguments of `messages.create` for `prompt`, streamed, with cache marks on the system text and the end."""
    body: dict[str, Any] = {
        "model": prompt.model,
        "max_tokens": prompt.max_output_tokens,
        "messages": _messages(prompt.messages),
        "stream": True,
    }
    if prompt.system.strip():
        body["system"] = [{"type": "text", "text": clean_text(prompt.system), "cache_control": _CACHED}]
    if prompt.tools:
        fields = {"name", "description", "input_schema"}
        body["tools"] = [clean(tool.model_dump(include=fields)) for tool in prompt.tools]
    return {**body, **_DROP_BLOCKS} if prompt.model.startswith(_BOUND_THINKING) else body


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The conversation in turns that alternate, as the API demands; empty turns are left out."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        content = _content(message)
        if content and turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += content
        elif content:
            turns.append({"role": message.role, "content": content})
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")  # results go before anything else
    return _marked(turns)


def _content(message: Message) -> list[dict[str, Any]]:
    """The blocks of one message, without thinking that leads to nothing: the API refuses a turn that ends in it."""
    blocks = [wire for block in message.blocks if (wire := _block(block)) is not None]
    while blocks and blocks[-1]["type"] in ("thinking", "redacted_thinking"):
        blocks.pop()
    return blocks


def _marked(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`turns` with cache marks on the ends of the last two turns of the user.

    The last one lets the next step read all of this one from the cache. The one before is where the step before put
    its own: the API looks back 20 blocks from a mark, which a step with more than ten calls leaves behind.
    """
    for turn in [turn for turn in turns if turn["role"] == "user"][-2:]:
        content = turn["content"]
        last = next((n for n in reversed(range(len(content))) if _takes_mark(content[n])), None)
        if last is not None:
            content[last] = {**content[last], "cache_control": _CACHED}
    return turns


def _takes_mark(block: Mapping[str, Any]) -> bool:
    """Whether the API takes a mark on it: it refuses one on a block without text."""
    text = {"text": "text", "tool_result": "content"}.get(block["type"])
    return text is not None and bool(block[text].strip())


def _block(block: AnyBlock) -> dict[str, Any] | None:
    """`block` as the API writes it; None for what it does not take: blank text and other vendors' own blocks."""
    match block:
        case Text():
            return {"type": "text", "text": clean_text(block.text)} if block.text.strip() else None
        case ToolCall():
            name = _WIRE_NAME.sub("_", block.name)[:128] or "_"
            return {"type": "tool_use", "id": _wire_id(block.call_id), "name": name, "input": clean(block.input)}
        case ToolResult():
            result = {"type": "tool_result", "tool_use_id": _wire_id(block.call_id), "content": clean_text(block.text)}
            return {**result, "is_error": True} if block.is_error else result
        case Opaque():
            return dict(block.block) if block.vendor == VENDOR else None


def _wire_id(call_id: str) -> str:
    """Our call id in the letters that the API allows: `3.0` is `call_3_0`."""
    return f"call_{_WIRE_NAME.sub('_', call_id)}"
