"""The loop governor on traces: what is a loop is seen within a few calls, and what is work passes unsaid."""

import pytest

from tests.unit.loop_traces import TRACES, Player


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_goes_as_far_as_it_should(name: str) -> None:
    trace, expected = TRACES[name]
    player = Player()
    assert player.play(trace) == expected, (player.rules, player.notes)
