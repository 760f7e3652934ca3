"""A scripted model: `<file.yaml>` or `<module>:<function>`. For tests, demos and drills; it costs nothing.

Turn n answers step n. It runs through the same activity as a real model and fails in the same ways, on demand.
"""

import asyncio
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, assert_never

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from activities.errors import StanchionError, Transient
from activities.model.errors import (
    ModelAnswerGarbled,
    ModelKeyRejected,
    ModelOverloaded,
    ModelRateLimited,
    ModelUnreachable,
    ScriptBroken,
)
from activities.model.provider import (
    AnyBlock,
    Completion,
    Message,
    Prompt,
    StopReason,
    Text,
    ToolCall,
    Usage,
    read_arguments,
)
from activities.storage.canonical import clean_text

SLICE = 0.5  # seconds between two beats of a delay: the heartbeat throttle, below which a beat is not sent anyway

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Kind = Literal["overloaded", "rate_limited", "unreachable", "garbled", "key_rejected", "context_exceeded", "refusal"]
_RAISED: Mapping[str, type[StanchionError]] = {
    "overloaded": ModelOverloaded,
    "rate_limited": ModelRateLimited,
    "unreachable": ModelUnreachable,
    "garbled": ModelAnswerGarbled,
    "key_rejected": ModelKeyRejected,
}

_LOADED: dict[str, ModuleType] = {}


class Scripted(BaseModel):
    """Part of a script. Unknown keys are refused: a typo in a script must not pass for a silent model."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ScriptedCall(Scripted):
    """A tool call that the model makes."""

    name: str
    input: dict[str, JsonValue] = {}


class ScriptedError(Scripted):
    """A way to fail, on the first `times` attempts at this turn; `retry_after` in seconds, for errors that pass."""

    kind: Kind
    times: int = Field(default=1, ge=1)
    retry_after: Seconds | None = None


class ScriptedUsage(Scripted):
    """The tokens that the turn claims to have used."""

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)


class Turn(Scripted):
    """What the model does in one step: wait `delay` seconds, fail or not, then say `text` and call `tools`."""

    text: str | None = None
    tools: tuple[ScriptedCall, ...] = ()
    error: ScriptedError | None = None
    delay: Seconds = 0
    usage: ScriptedUsage = ScriptedUsage()
    stop_reason: StopReason | None = None

    @field_validator("error", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value


class ScriptedProvider:
    """`scripted:…`. Files are read anew for every step, so a script may be edited while a run waits."""

    async def count(self, prompt: Prompt) -> int | None:
        """A script counts nothing."""
        return None

    def account(self, model: str) -> str:
        """Each script stands for a vendor of its own."""
        return model

    async def complete(self, prompt: Prompt, beat: Callable[[], None]) -> Completion:
        """The scripted turn of `prompt.step`. Raises `ScriptBroken`, or whatever error the script asks for."""
        beat()
        turn = await _turn(prompt)
        await _wait(turn.delay, beat)
        if turn.error is not None and prompt.attempt <= turn.error.times:
            return _failed(turn, turn.error, prompt)
        return _answer(turn, prompt, turn.stop_reason or ("tool_use" if turn.tools else "end_turn"))


async def _turn(prompt: Prompt) -> Turn:
    if prompt.model.endswith((".yaml", ".yml")):
        return await asyncio.to_thread(_from_file, prompt)
    module, _, function = prompt.model.partition(":")
    if not module or not function:
        raise ScriptBroken(f"{prompt.model!r} is neither a .yaml file nor <module>:<function>.")
    written = await _called(module, function, prompt.step, prompt.messages)
    return _checked(written, f"the turn that {prompt.model} returned for step {prompt.step}")


def _from_file(prompt: Prompt) -> Turn:
    """Turn `prompt.step` of the script file, once all of its turns have been checked."""
    path = Path(prompt.base_dir) / prompt.model
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ScriptBroken(f"The script {path} cannot be read: {error}.") from error
    if not isinstance(written, list):
        raise ScriptBroken(f"The script {path} is not a list of turns.")
    turns = [_checked(turn, f"turn {number} of the script {path}") for number, turn in enumerate(written, start=1)]
    if not 1 <= prompt.step <= len(turns):
        raise ScriptBroken(f"The script has no turn for step {prompt.step}: {path} has {len(turns)}.")
    return turns[prompt.step - 1]


async def _called(module: str, function: str, step: int, messages: tuple[Message, ...]) -> object:
    """What the function returns. It is imported and, unless it is async, called beside the event loop."""
    try:
        found = getattr(await _loaded(module), function)
        if inspect.iscoroutinefunction(found):
            return await found(step=step, messages=messages)
        return await asyncio.to_thread(found, step=step, messages=messages)
    except StanchionError:
        raise
    except Exception as error:
        raise ScriptBroken(f"The script {module}:{function} failed: {type(error).__name__}: {error}") from error


async def _loaded(name: str) -> ModuleType:
    """The module `name`, imported beside the event loop; one whose import has not ended yet is waited for."""
    module = sys.modules.get(name)
    if module is None or module is not _LOADED.get(name):
        module = _LOADED[name] = await asyncio.to_thread(importlib.import_module, name)
    return module


def _checked(written: object, where: str) -> Turn:
    """`written` as a turn. Raises `ScriptBroken` that says where, at which key, and what is wrong."""
    try:
        return Turn.model_validate(written)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in error.errors())
        raise ScriptBroken(f"There is a mistake in {where}: {found}.") from error


async def _wait(seconds: float, beat: Callable[[], None]) -> None:
    """Wait `seconds`, with a beat at least every `SLICE`."""
    while seconds > 0:
        await asyncio.sleep(min(seconds, SLICE))
        seconds -= SLICE
        beat()


def _failed(turn: Turn, error: ScriptedError, prompt: Prompt) -> Completion:
    """Fail as the script says: an exception, or one of the two failures that are answers."""
    match error.kind:
        case "context_exceeded" | "refusal" as reason:
            return _answer(turn.model_copy(update={"tools": ()}), prompt, reason)
        case "overloaded" | "rate_limited" | "unreachable" | "garbled" | "key_rejected" as name:
            kind, said = _RAISED[name], f"Attempt {prompt.attempt} at step {prompt.step}: {name}, as scripted."
            after = None if error.retry_after is None else timedelta(seconds=error.retry_after)
            raise kind(said, retry_after=after) if issubclass(kind, Transient) else kind(said)
        case _:
            assert_never(error.kind)


def _answer(turn: Turn, prompt: Prompt, stop_reason: StopReason) -> Completion:
    blocks: list[AnyBlock] = [Text(text=clean_text(turn.text))] if turn.text else []
    blocks += [_call(call, f"{prompt.step}.{index}") for index, call in enumerate(turn.tools)]
    usage = Usage(input_tokens=turn.usage.input_tokens, output_tokens=turn.usage.output_tokens)
    return Completion(blocks=tuple(blocks), stop_reason=stop_reason, usage=usage, model=prompt.model)


def _call(call: ScriptedCall, call_id: str) -> ToolCall:
    """The call, its arguments read as strictly as a real model's: `.nan` in a script makes an invalid call."""
    arguments, invalid = read_arguments(json.dumps(call.input))
    return ToolCall(call_id=call_id, name=call.name, input=arguments, invalid=invalid)
