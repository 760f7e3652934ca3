"""What counts as news: the same answer has the same digest, whenever it comes; a frame around nothing says nothing."""

from typing import Any

import pytest
from hypothesis import given

from activities.gateway.execution.novelty import digest_of, says_nothing
from tests.harness.values import json_values

SAME = [
    ("running since 2026-01-31T12:00:00Z", "running since 2026-01-31 12:07:31.250+01:00"),
    ("at 12:00:01 still running", "at 12:00:02 still running"),
    ("done in 120 ms", "done in 98.5 ms"),
    ("Not found\n", "not  found"),
    (
        "request 6f9619ff-8b86-d011-b42d-00cf4fc964ff failed",
        "request 7a9619ff-8b86-d011-b42d-00cf4fc964aa failed",
    ),
]
OTHER = [
    ("40 % done", "41 % done"),
    ("3 rows", "4 rows"),
    ("order 2026-01-31", "order 2026-02-01"),
    ("running", "done"),
    ("SKU-1: 0", "SKU-2: 0"),
]


@pytest.mark.parametrize("pair", SAME, ids=str)
def test_times_and_request_ids_make_no_other_answer(pair: tuple[str, str]) -> None:
    assert digest_of(pair[0]) == digest_of(pair[1])


@pytest.mark.parametrize("pair", OTHER, ids=str)
def test_anything_else_does(pair: tuple[str, str]) -> None:
    assert digest_of(pair[0]) != digest_of(pair[1])


@pytest.mark.parametrize(
    ("text", "data", "nothing"),
    [
        ("", "", True),
        ("  \n", None, True),
        ("[]", [], True),
        ("null", None, True),
        ('{"items": [], "total": 0, "more": false}', {"items": [], "total": 0, "more": False}, True),
        ('{"page": {"items": []}}', {"page": {"items": []}}, True),
        ("0", 0, False),
        ('{"stock": 0}', {"stock": 0}, False),
        ('{"items": [], "hint": "try sku"}', {"items": [], "hint": "try sku"}, False),
        ("[0]", [0], False),
        ("none", "none", False),
    ],
)
def test_a_frame_around_nothing_says_nothing(text: str, data: Any, nothing: bool) -> None:
    assert says_nothing(text, data) is nothing


@given(data=json_values)
def test_any_data_can_be_asked_about(data: Any) -> None:
    assert says_nothing(str(data), data) in (True, False)
