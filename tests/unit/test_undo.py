"""Declared undos: where their arguments come from, what is refused when they are registered, what is never guessed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from activities.agents.versions import PinnedTool
from activities.tools import Idempotent, ToolContext, Undo, tool
from activities.tools.decorator import SPEC
from activities.tools.errors import ToolDeclarationError
from activities.tools.spec import ToolSpec
from activities.tools.undo import RecordedForUndo, SourceMissing, arguments_of, sources_of
from activities.undo.call_outlook import Attempt, CallMade, LeftAsIs, NothingToUndo, Undoable, Undone, outlook_of
from activities.undo.orders import is_rollback


class Inner(BaseModel):
    number: int


class Receipt(BaseModel):
    id: str
    account: str
    inner: Inner | None = None


def spec(function: Any, undo: Any = None, effect: Any = "write") -> ToolSpec:
    found = getattr(tool(effect=effect, contract=Idempotent(), undo=undo)(function), SPEC)
    assert isinstance(found, ToolSpec)
    return found


async def act(ctx: ToolContext, account: str, text: str = "as it is") -> Receipt:
    """Act."""
    raise NotImplementedError


async def says(ctx: ToolContext) -> str:
    """Act, and say a word."""
    raise NotImplementedError


async def anything(ctx: ToolContext) -> dict[str, Any]:
    """Act, and say anything."""
    raise NotImplementedError


def back(*names: str, required: tuple[str, ...] | None = None) -> ToolSpec:
    async def take_back(ctx: ToolContext) -> str:
        """Take it back."""
        raise NotImplementedError

    made = spec(take_back)
    schema = {"properties": {name: {} for name in names}, "required": list(names if required is None else required)}
    made.__dict__["schema"] = schema
    return made


def test_an_argument_comes_from_what_has_its_name() -> None:
    found = sources_of(spec(act, "take_back"), back("account", "text", "id"), {})
    assert found == {"account": "either.account", "text": "arguments.text", "id": "result.id"}


def test_a_declared_source_comes_before_a_name() -> None:
    declared = {"account": "arguments.account", "number": "result.inner.number"}
    assert sources_of(spec(act), back("account", "number"), declared) == declared


def test_an_argument_that_nothing_has_is_left_out_if_it_may_be_and_refused_if_not() -> None:
    assert sources_of(spec(act), back("account", "why", required=("account",)), {}) == {"account": "either.account"}
    with pytest.raises(ToolDeclarationError, match=r"needs 'why', and neither the arguments nor the result"):
        sources_of(spec(act), back("account", "why"), {})


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"accunt": "arguments.account"}, "no argument 'accunt'"),
        ({"account": "arguments.acount"}, "does not have"),
        ({"account": "result.acount"}, "does not have"),
        ({"account": "result.inner.numbr"}, "does not have"),
    ],
)
def test_a_misspelt_source_is_refused_when_the_tool_is_registered(declared: dict[str, str], why: str) -> None:
    with pytest.raises(ToolDeclarationError, match=why):
        sources_of(spec(act), back("account"), declared)


@pytest.mark.parametrize("source", ["account", "goal.account", "arguments", "either.account", "result.", "text"])
def test_nothing_but_the_record_is_a_source(source: str) -> None:
    with pytest.raises(ToolDeclarationError, match="a source is"):
        Undo("take_back", {"account": source})


def test_a_result_that_is_a_text_is_taken_as_it_stands() -> None:
    assert sources_of(spec(says), back("id"), {"id": "result"}) == {"id": "text"}
    assert arguments_of({"id": "text"}, frozenset(["id"]), RecordedForUndo({}, {}, "007")).arguments == {"id": "007"}


def test_a_result_that_may_be_anything_has_what_is_declared_and_nothing_by_name() -> None:
    assert sources_of(spec(anything), back("id"), {"id": "result.id"}) == {"id": "result.id"}
    with pytest.raises(ToolDeclarationError):
        sources_of(spec(anything), back("id"), {})


def test_a_declared_source_makes_another_tool_and_none_does_not() -> None:
    plain, mapped = spec(act, "take_back"), spec(act, Undo("take_back", {"id": "result.id"}))
    assert plain.pinned_hash != mapped.pinned_hash
    assert plain.pinned_hash == spec(act, Undo("take_back")).pinned_hash


# ── when it is taken back ───────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = {"properties": {"text": {"default": "as it is"}}}


def recorded(text: str | None = '{"account": "bo", "id": "7"}', **arguments: Any) -> RecordedForUndo:
    return RecordedForUndo(arguments, SCHEMA, text)


def test_what_the_call_was_not_given_is_its_default() -> None:
    assert arguments_of({"text": "arguments.text"}, frozenset(), recorded()).arguments == {"text": "as it is"}


def test_what_the_call_was_not_given_and_only_its_result_says_is_the_results_word() -> None:
    made_up = RecordedForUndo(
        {}, {"properties": {"account": {}}}, json.dumps({"account": "eve"})
    )  # by a default_factory
    taken = arguments_of({"account": "either.account"}, frozenset(["account"]), made_up)
    assert (taken.arguments, taken.from_result) == ({"account": "eve"}, ("account",))


def test_what_arguments_and_result_both_say_has_to_be_the_same() -> None:
    needed = frozenset(["account"])
    taken = arguments_of({"account": "either.account"}, needed, recorded(account="bo"))
    assert (taken.arguments, taken.from_result) == ({"account": "bo"}, ())
    with pytest.raises(SourceMissing, match="differ in 'account'"):
        arguments_of({"account": "either.account"}, needed, recorded(account="mei"))


@pytest.mark.parametrize("source", ["result.id", "result", "text", "either.account"])
def test_a_reply_that_was_lost_is_never_made_up(source: str) -> None:
    with pytest.raises(SourceMissing, match="its reply was lost"):
        arguments_of({"x": source}, frozenset(), recorded(None, account="bo"))


def test_a_field_that_is_not_there_is_left_out_if_it_may_be() -> None:
    assert arguments_of({"x": "result.other"}, frozenset(), recorded()).arguments == {}
    with pytest.raises(SourceMissing, match=r"should come from result\.other"):
        arguments_of({"x": "result.other"}, frozenset(["x"]), recorded())


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5)


@given(st.dictionaries(st.sampled_from("abc"), JSON), st.dictionaries(st.sampled_from("abc"), JSON))
def test_an_argument_is_always_a_value_of_the_record(arguments: dict[str, Any], result: dict[str, Any]) -> None:
    for source in ("arguments.a", "result.a", "either.a"):
        try:
            taken = arguments_of({"x": source}, frozenset(["x"]), RecordedForUndo(arguments, {}, json.dumps(result)))
        except SourceMissing:
            continue
        assert taken.arguments["x"] in [arguments.get("a", object()), result.get("a", object())]
        its_word = source == "result.a" or (source == "either.a" and "a" not in arguments)
        assert taken.from_result == (("x",) if its_word else ())


# ── what is said of a call ──────────────────────────────────────────────────────────────────────────────────────────


def pinned(name: str, effect: str = "write", undo: str | None = "back") -> PinnedTool:
    return PinnedTool("m", name, "", {}, "", False, 60, "T2", effect, False, False, undo, {})


TOOLS = {t.name: t for t in (pinned("do"), pinned("back"), pinned("final", undo=None), pinned("look", "read"))}
TOOLS["lost"] = pinned("lost", undo="elsewhere")


def made(tool_name: str = "do", state: str | None = "settled", **more: Any) -> CallMade:
    return CallMade("1.0", 1, tool_name, state, **({"is_error": False, "happened": True} | more))


def attempt(state: str | None, run_over: bool = True, **more: Any) -> Attempt:
    given = {"is_error": False, "happened": True, "rule": None} | more
    return Attempt("agent/a/rollback-of-b", "1.0", "back", run_over, state, **given)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (made(), Undoable),
        (made("look"), type(None)),
        (made("unheard-of", "refused"), type(None)),
        (made(state=None), NothingToUndo),
        (made(state="refused"), NothingToUndo),
        (made(is_error=True, happened=False), NothingToUndo),
        (made(is_error=True), LeftAsIs),
        (made(state="unknown"), LeftAsIs),
        (made(state="claimed"), LeftAsIs),
        (made("final"), LeftAsIs),
        (made("lost"), LeftAsIs),
        (made(attempt=attempt("settled")), Undone),
        (made(attempt=attempt("settled", is_error=True)), LeftAsIs),
        (made(attempt=attempt("settled", is_error=True, happened=False)), Undoable),
        (made(attempt=attempt("settled", False, is_error=True, happened=False)), LeftAsIs),
        (made(attempt=attempt("refused")), Undoable),
        (made(attempt=attempt("refused", run_over=False)), LeftAsIs),
        (made(attempt=attempt(None)), Undoable),
        (made(attempt=attempt(None, run_over=False)), LeftAsIs),
        (made(attempt=attempt("unknown")), LeftAsIs),
        (made(attempt=attempt("claimed", run_over=False)), LeftAsIs),
    ],
)
def test_what_is_said_of_a_call(call: CallMade, expected: type) -> None:
    assert type(outlook_of(call, TOOLS)) is expected


@pytest.mark.parametrize("state", [None, "refused", "settled"])
def test_a_rollback_never_tries_again_what_it_tried_itself(state: str | None) -> None:
    tried = made(attempt=attempt(state, is_error=True, happened=False))
    assert isinstance(outlook_of(tried, TOOLS, "agent/a/rollback-of-b"), LeftAsIs)
    assert isinstance(outlook_of(tried, TOOLS, "agent/a/rollback-again-2-of-b"), Undoable)


@pytest.mark.parametrize(
    ("run_id", "is_one"),
    [
        ("agent/a/rollback-of-b", True),
        ("agent/a/rollback-to-3-of-b/c", True),
        ("agent/a/rollback-to-3-again-2-of-b", True),
        ("agent/a/rollback", False),
        ("agent/a/my-rollback-of-b", False),
        ("other/a/rollback-of-b", False),
    ],
)
def test_a_rollback_is_known_by_its_key(run_id: str, is_one: bool) -> None:
    assert is_rollback(run_id) is is_one
