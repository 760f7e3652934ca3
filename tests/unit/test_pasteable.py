"""A property test that fails shows its example as decorators that can be pasted above it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.pasteable import pasteable

TEST = """
from hypothesis import Phase, given, settings, strategies as st

{decorators}
@settings(database=None, phases=[Phase.explicit])
@given(numbers=st.lists(st.integers()), text=st.text())
def test_few(numbers, text):
    assert len(numbers) < 2, "too many"
"""


@settings(print_blob=True)
@given(numbers=st.lists(st.integers()), text=st.text())
def holds_for_few(numbers: list[int], text: str) -> None:
    assert len(numbers) < 2


def test_the_example_of_a_failure_makes_the_test_fail_once_it_is_pasted_above_it() -> None:
    with pytest.raises(AssertionError) as failed:
        holds_for_few()
    shown = pasteable(failed.value)
    assert shown is not None
    decorators, blob = shown.split("@reproduce_failure(")
    assert blob.endswith(")")
    pasted: dict[str, object] = {}
    exec(TEST.format(decorators=decorators), pasted)  # noqa: S102 - what a person would do in an editor
    with pytest.raises(AssertionError, match="too many"):
        pasted["test_few"]()  # type: ignore[operator]


def test_an_ordinary_failure_shows_nothing_more() -> None:
    assert pasteable(AssertionError("no")) is None
