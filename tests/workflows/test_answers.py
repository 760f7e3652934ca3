"""What a run returns: all that the model said at its end, never nothing as a success."""

from typing import Any

import pytest

from activities.model.turns import EMPTY_NOTE, THOUGHT_NOTE
from tests.harness.stanchion import Stanchion
from tests.workflows.sender import ended
from workflows.contracts.runs import ANSWER_LIMIT

LOOK: dict[str, Any] = {"tools": [{"name": "look", "input": {}}]}
CUT = {"stop_reason": "max_tokens"}


async def outcome(stanchion: Stanchion, *turns: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    handle = await stanchion.start(await stanchion.publish(list(turns), "look"))
    return await ended(stanchion, handle, status)


@pytest.mark.parametrize(
    ("turns", "answer"),
    [
        ([{"text": "one, tw", **CUT}, {"text": "o, three"}], "one, two, three"),
        ([LOOK, {"text": "a", **CUT}, {"text": "b", **CUT}, {"text": "c"}], "abc"),
        ([{**LOOK, "text": "Looking."}, {"text": "Found it."}], "Found it."),
        ([{**LOOK, "text": "It is 42."}, {}], "It is 42."),
        ([LOOK, {}, {"text": "at last"}], "at last"),
        ([{"text": "first", "stop_reason": "pause_turn"}, {"text": "second"}], "first\n\nsecond"),
    ],
)
async def test_the_answer_is_all_that_was_said_at_the_end(
    stanchion: Stanchion, turns: list[dict[str, Any]], answer: str
) -> None:
    assert (await outcome(stanchion, *turns))["answer"] == answer


@pytest.mark.parametrize(
    ("turn", "rule", "noted"), [({}, "model.empty", EMPTY_NOTE), (CUT, "model.thinking", THOUGHT_NOTE)]
)
async def test_a_model_that_says_nothing_is_asked_once_more_and_then_the_run_ends_without_success(
    stanchion: Stanchion, turn: dict[str, Any], rule: str, noted: str
) -> None:
    found = await outcome(stanchion, LOOK, turn, turn, status="stopped")
    assert found["reason"].startswith(rule) and found["steps"] == 3
    notes = await stanchion.rows("SELECT content::text AS content FROM transcript WHERE kind = 'note'")
    assert [noted in row["content"] for row in notes] == [True]


async def test_an_answer_is_never_longer_than_the_contract_says(stanchion: Stanchion) -> None:
    long = "x" * (ANSWER_LIMIT + 1)
    found = await outcome(stanchion, {"text": long})
    assert len(found["answer"]) <= ANSWER_LIMIT and f"{len(long)} characters" in found["answer"]
    assert (await outcome(stanchion, {"text": "y" * ANSWER_LIMIT}))["answer"] == "y" * ANSWER_LIMIT
