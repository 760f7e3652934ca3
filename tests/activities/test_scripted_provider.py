"""The scripted model: it says what the script says, and a mistake in a script is named, not played."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from activities.errors import StanchionError
from activities.model import scripted
from activities.model.errors import (
    ModelAnswerGarbled,
    ModelKeyRejected,
    ModelOverloaded,
    ModelRateLimited,
    ModelUnreachable,
    ScriptBroken,
)
from activities.model.provider import Completion, Message, Prompt, Text, ToolCall, Usage
from activities.model.scripted import ScriptedProvider

Play = Callable[..., Any]


def nothing() -> None:
    """A beat that no one counts."""


def prompt(model: str, base_dir: Path | str = ".", *, step: int = 1, attempt: int = 1) -> Prompt:
    """A call of `model` at `step`."""
    goal = Message(role="user", blocks=(Text(text="Do it."),))
    return Prompt(
        model=model,
        system="",
        messages=(goal,),
        tools=(),
        max_output_tokens=100,
        step=step,
        attempt=attempt,
        base_dir=str(base_dir),
    )


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Write a script and play one step of it."""

    async def played(script: str, *, step: int = 1, attempt: int = 1) -> Completion:
        (tmp_path / "s.yaml").write_text(script, encoding="utf-8")
        return await ScriptedProvider().complete(prompt("s.yaml", tmp_path, step=step, attempt=attempt), nothing)

    return played


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """An importable module that a test fills with script functions."""
    sys.modules["scripted_here"] = made = ModuleType("scripted_here")
    yield made
    del sys.modules["scripted_here"]


async def test_turn_n_answers_step_n(play: Play) -> None:
    script = "[{text: one}, {text: two}]"
    assert (await play(script, step=1)).blocks == (Text(text="one"),)
    assert (await play(script, step=2)).blocks == (Text(text="two"),)


async def test_calls_are_numbered_by_step_and_order(play: Play) -> None:
    found = await play("[{text: a}, {text: Look., tools: [{name: find, input: {q: 1}}, {name: stop}]}]", step=2)
    assert found.blocks == (
        Text(text="Look."),
        ToolCall(call_id="2.0", name="find", input={"q": 1}),
        ToolCall(call_id="2.1", name="stop", input={}),
    )
    assert found.stop_reason == "tool_use"


async def test_a_turn_may_claim_tokens_and_a_stop_reason(play: Play) -> None:
    found = await play("[{text: cut, stop_reason: max_tokens, usage: {input_tokens: 7, output_tokens: 3}}]")
    assert found.usage == Usage(input_tokens=7, output_tokens=3)
    assert found.stop_reason == "max_tokens"


async def test_a_script_that_is_over_says_for_which_step(play: Play) -> None:
    with pytest.raises(ScriptBroken, match="The script has no turn for step 2"):
        await play("[{text: one}]", step=2)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("overloaded", ModelOverloaded),
        ("rate_limited", ModelRateLimited),
        ("unreachable", ModelUnreachable),
        ("garbled", ModelAnswerGarbled),
        ("key_rejected", ModelKeyRejected),
    ],
)
async def test_a_named_error_fails_the_first_attempt_only(play: Play, name: str, kind: type[StanchionError]) -> None:
    script = f"[{{text: at last, error: {name}}}]"
    with pytest.raises(kind):
        await play(script)
    assert (await play(script, attempt=2)).blocks == (Text(text="at last"),)


async def test_an_error_may_last_for_several_attempts_and_ask_to_wait(play: Play) -> None:
    script = "[{text: ok, error: {kind: rate_limited, times: 2, retry_after: 1.5}}]"
    for attempt in (1, 2):
        with pytest.raises(ModelRateLimited) as error:
            await play(script, attempt=attempt)
        assert error.value.retry_after == timedelta(seconds=1.5)
    assert (await play(script, attempt=3)).stop_reason == "end_turn"


@pytest.mark.parametrize("name", ["context_exceeded", "refusal"])
async def test_failures_that_are_answers_are_played_as_answers_without_calls(play: Play, name: str) -> None:
    found = await play(f"[{{text: No., tools: [{{name: find}}], error: {name}}}]")
    assert found.stop_reason == name
    assert not any(isinstance(block, ToolCall) for block in found.blocks)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("[{text: a}, {tetx: b}]", r"turn 2 of the script .*s\.yaml: tetx"),
        ("[{tools: [{nmae: find}]}]", r"turn 1 .*tools\.0\.name"),
        ("[{error: sleepy}]", r"turn 1 .*error\.kind"),
        ("[{error: {kind: garbled, times: 0}}]", r"error\.times"),
        ("[{delay: .inf}]", r"delay"),
        ("[{delay: -1}]", r"delay"),
        ("[{stop_reason: tired}]", r"stop_reason"),
        ("[{text: 5}]", r"text"),
        ("[{tools: [{name: find, input: {on: 2026-01-01}}]}]", r"input"),
        ("[hello]", r"turn 1"),
        ("text: a", r"not a list of turns"),
        ("[{", r"cannot be read"),
    ],
)
async def test_a_mistake_in_a_script_is_named_with_its_file_and_turn(play: Play, script: str, said: str) -> None:
    with pytest.raises(ScriptBroken, match=said):
        await play(script)


async def test_a_mistake_in_a_later_turn_is_found_at_the_first_step(play: Play) -> None:
    with pytest.raises(ScriptBroken, match="turn 2"):
        await play("[{text: a}, {typo: b}]", step=1)


async def test_arguments_that_json_does_not_have_make_an_invalid_call(play: Play) -> None:
    (call,) = (await play("[{tools: [{name: pay, input: {amount: .nan}}]}]")).blocks
    assert call.input == {}
    assert "NaN" in call.invalid


@pytest.mark.parametrize(
    "model", ["missing.yaml", "nonsense", "no_such_module_here:f", "os:no_such_function", ":f", "os:"]
)
async def test_a_script_that_is_not_there_is_a_broken_script(tmp_path: Path, model: str) -> None:
    with pytest.raises(ScriptBroken):
        await ScriptedProvider().complete(prompt(model, tmp_path), nothing)


async def test_a_delay_beats_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripted, "SLICE", 0.015625)
    beats: list[int] = []
    (tmp_path / "slow.yaml").write_text("[{text: late, delay: 0.046875}]", encoding="utf-8")
    await ScriptedProvider().complete(prompt("slow.yaml", tmp_path), lambda: beats.append(1))
    assert len(beats) == 4  # one at the start, three slices


async def test_a_function_gets_step_and_messages_and_returns_a_turn(module: ModuleType) -> None:
    def turn(*, step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
        return {"text": f"{step}: {messages[0].blocks[0].text}"}

    module.turn = turn  # type: ignore[attr-defined]
    found = await ScriptedProvider().complete(prompt("scripted_here:turn", step=3), nothing)
    assert found.blocks == (Text(text="3: Do it."),)


async def test_an_async_function_is_awaited(module: ModuleType) -> None:
    async def turn(*, step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
        return {"tools": [{"name": "find", "input": {}}]}

    module.turn = turn  # type: ignore[attr-defined]
    found = await ScriptedProvider().complete(prompt("scripted_here:turn", step=3), nothing)
    assert found.blocks == (ToolCall(call_id="3.0", name="find", input={}),)


async def test_a_function_may_raise_a_models_own_errors(module: ModuleType) -> None:
    def turn(**_: object) -> dict[str, Any]:
        raise ModelOverloaded

    module.turn = turn  # type: ignore[attr-defined]
    with pytest.raises(ModelOverloaded):
        await ScriptedProvider().complete(prompt("scripted_here:turn"), nothing)


@pytest.mark.parametrize("returned", [{"txt": "a"}, None, "text"])
async def test_a_function_that_returns_no_turn_is_a_broken_script(module: ModuleType, returned: object) -> None:
    module.turn = lambda **_: returned  # type: ignore[attr-defined]
    with pytest.raises(ScriptBroken, match="scripted_here:turn returned for step 1"):
        await ScriptedProvider().complete(prompt("scripted_here:turn"), nothing)


async def test_a_function_that_fails_is_a_broken_script_that_says_why(module: ModuleType) -> None:
    module.turn = lambda **_: 1 // 0  # type: ignore[attr-defined]
    with pytest.raises(ScriptBroken, match="ZeroDivisionError"):
        await ScriptedProvider().complete(prompt("scripted_here:turn"), nothing)
