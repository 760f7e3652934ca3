"""What each tier does in each mode; and that a stricter mode never permits more."""

from itertools import product
from typing import get_args

import pytest

from activities.policy.tiers import decide
from activities.policy.verdicts import Allow, Ask, Deny
from activities.runs.lifecycle import STRICTNESS
from activities.tools.facts import Effect, Facts, Output, Sensitive, tier
from workflows.contracts.calls import Tier
from workflows.contracts.runs import Mode

EXAMPLES: dict[Tier, Facts] = {
    "T0": Facts(effect="read", output="trusted"),
    "T1": Facts(effect="read"),
    "T2": Facts(effect="write", undo="back"),
    "T3": Facts(effect="send"),
    "T4": Facts(effect="money"),
}
TABLE: dict[Mode, dict[Tier, type]] = {
    "observe": {"T0": Allow, "T1": Allow, "T2": Deny, "T3": Deny, "T4": Deny},
    "propose": {"T0": Allow, "T1": Allow, "T2": Ask, "T3": Ask, "T4": Ask},
    "tiered": {"T0": Allow, "T1": Allow, "T2": Allow, "T3": Ask, "T4": Ask},
    "autonomous": {"T0": Allow, "T1": Allow, "T2": Allow, "T3": Ask, "T4": Ask},
}
ALL_FACTS = [
    Facts(effect=effect, output=output, undo=undo, sensitive=sensitive)
    for effect, output, undo in product(get_args(Effect), get_args(Output), (None, "back"))
    for sensitive in ({}, *({"a": kind} for kind in get_args(Sensitive)))
]


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(get_args(Mode)) == set(STRICTNESS)
    assert all(set(row) == set(get_args(Tier)) for row in TABLE.values())
    assert {level: tier(facts) for level, facts in EXAMPLES.items()} == {level: level for level in EXAMPLES}


@pytest.mark.parametrize("level", get_args(Tier))
@pytest.mark.parametrize("mode", get_args(Mode))
def test_each_tier_in_each_mode(mode: Mode, level: Tier) -> None:
    verdict = decide(EXAMPLES[level], mode)
    assert isinstance(verdict, TABLE[mode][level])
    assert verdict.rule and verdict.reason


def test_no_effect_happens_unasked_unless_it_can_be_taken_back() -> None:
    for facts, mode in product(ALL_FACTS, get_args(Mode)):
        if isinstance(decide(facts, mode), Allow) and facts.effect != "read":
            assert facts.effect == "write" and facts.undo, facts


def test_a_stricter_mode_never_permits_more() -> None:
    for facts in ALL_FACTS:
        looseness = [(Deny, Ask, Allow).index(type(decide(facts, mode))) for mode in STRICTNESS]
        assert looseness == sorted(looseness), facts
