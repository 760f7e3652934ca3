"""The vendor-neutral types of a model call: Prompt in, Completion out. Each provider translates them.

A transcript is stored in these blocks, so that a run may be read, replayed and continued by another provider.
"""

import json
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn, Protocol

from pydantic import BaseModel, ConfigDict, Field

from activities.storage.canonical import clean_text

# Far above what any tool needs, far below what JSON encoders on the way to the store give up at (255).
DEEPEST_JSON = 64


class Block(BaseModel):
    """One piece of a message. Lenient on extra keys: rows written by other versions still decode."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Text(Block):
    """Plain text, from either side."""

    type: Literal["text"] = "text"
    text: str


class ToolCall(Block):
    """The model asks for a tool. `call_id` is ours (`<step>.<index>`); the vendor's id is never stored."""

    type: Literal["call"] = "call"
    call_id: str
    name: str
    input: dict[str, Any]
    invalid: str | None = None  # why the arguments could not be read (not an object, duplicate keys, NaN), else None


class ToolResult(Block):
    """What a call returned, as the model reads it."""

    type: Literal["result"] = "result"
    call_id: str
    text: str
    is_error: bool = False


class Opaque(Block):
    """A vendor's own block (thinking, server tool), sent back unchanged to the same vendor and skipped by others."""

    type: Literal["opaque"] = "opaque"
    vendor: str
    block: dict[str, Any]


AnyBlock = Annotated[Text | ToolCall | ToolResult | Opaque, Field(discriminator="type")]


class Message(Block):
    """One turn of the conversation. `user` carries goals, people's messages, notes and tool results."""

    role: Literal["user", "assistant"]
    blocks: tuple[AnyBlock, ...]


class OfferedTool(Block):
    """A tool as the model sees it."""

    name: str
    description: str
    input_schema: dict[str, Any]


class Prompt(Block):
    """Everything a provider may use for one call."""

    model: str  # the part after `provider:`
    system: str
    messages: tuple[Message, ...]
    tools: tuple[OfferedTool, ...]
    max_output_tokens: int
    step: int  # 1-based number of this model call within the run
    attempt: int = 1  # 1-based attempt at this very call
    base_dir: str = "."  # folder that relative script paths start from


class Usage(Block):
    """Tokens of one call, as the vendor counted them.

    `missing` names the counts that the vendor did not give, or gave as no whole number: `prompt`, `output`. They are
    zero here; what was reserved for them is charged.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    missing: tuple[Literal["prompt", "output"], ...] = ()

    @property
    def total(self) -> int:
        """Tokens that count against a budget: everything the vendor bills."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens


StopReason = Literal["end_turn", "tool_use", "max_tokens", "pause_turn", "refusal", "context_exceeded"]


class Completion(Block):
    """A model's answer."""

    blocks: tuple[AnyBlock, ...]
    stop_reason: StopReason
    usage: Usage
    model: str  # the model that answered, as the vendor names it


class Provider(Protocol):
    """A vendor's API. Retries nothing itself (Temporal does), and calls `beat` at every sign of life."""

    async def complete(self, prompt: Prompt, beat: Callable[[], None]) -> Completion:
        """Call the model once. Raises `Transient` or `Permanent` subclasses from `activities.model.errors` only."""
        ...

    async def count(self, prompt: Prompt) -> int | None:
        """How many tokens `prompt` has by the vendor's own count, where asking is free; None if it is not known."""
        ...

    def account(self, model: str) -> str:
        """Tells the account and the address that `model` is asked with from others; shows neither."""
        ...


def strict_json(raw: str, *, any_text: bool = False) -> Any:
    """`raw` as JSON. Raises `ValueError` for what a lenient reader would silently repair or lose.

    That is: a repeated key, NaN and infinities (also `1e999`), nesting beyond `DEEPEST_JSON`, and, unless `any_text`
    (the caller cleans it), NUL and lone surrogates.
    """
    try:
        value = json.loads(raw, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST_JSON} levels") from None
    _refuse(value, DEEPEST_JSON, any_text)
    return value


def read_arguments(raw: str) -> tuple[dict[str, Any], str | None]:
    """A tool call's arguments as the model wrote them and None; or `{}` and why they cannot be read. Never repaired."""
    try:
        value = strict_json(raw) if raw else {}
    except ValueError as error:
        return {}, f"The arguments are not valid: {error}."
    if not isinstance(value, dict):
        return {}, "The arguments are not a JSON object."
    return value, None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} is repeated")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:30]} is too large for a number")
    return number


def _refuse(value: Any, levels: int, any_text: bool) -> None:
    """Raises `ValueError` if `value` is nested deeper than `levels`, or has unsafe text and not `any_text`."""
    if levels < 0:
        raise ValueError(f"it is nested deeper than {DEEPEST_JSON} levels")
    if isinstance(value, str) and not any_text and clean_text(value) != value:
        raise ValueError("a text in it has a NUL or a lone surrogate")
    inside = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inside:
        _refuse(item, levels - 1, any_text)
