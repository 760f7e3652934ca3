"""Budgets: money is integers, nothing is repaired, and a request only ever tightens."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.harness.values import contract
from workflows.contracts.budgets import (
    MICROS,
    USD_MAX,
    Budget,
    BudgetRequest,
    Spent,
    micros_to_usd,
    requested_caps,
    usd_to_micros,
)

CAPS = ("usd_micros", "tokens", "tool_calls", "minutes", "steps")


@pytest.mark.parametrize(
    ("usd", "micros"),
    [
        ("0", 0),
        ("2.00", 2_000_000),
        ("0.000001", 1),
        ("007.5", 7_500_000),
        (3, 3_000_000),
        (str(USD_MAX), USD_MAX * MICROS),
    ],
)
def test_a_decimal_string_is_exact_micro_usd(usd: Any, micros: int) -> None:
    assert usd_to_micros(usd) == micros


@pytest.mark.parametrize(
    "usd",
    [
        "NaN",
        "sNaN",
        "inf",
        "-inf",
        "Infinity",
        "-1",
        "-0.01",
        "+1",
        "1e3",
        "1E-2",
        "1e999999999999999999999",
        "0x10",
        "1_000",
        " 1",
        "1 ",
        "1\n",
        "1,5",
        "1.",
        ".5",
        "",
        "one",
        "$1",
        "٣",
        "\uff11",
        "1.0000001",
        "1.0000000000000000000000000000001",
        "1000000001",
        "99999999999",
        "9" * 5000,
        2.5,
        1.0,
        float("nan"),
        True,
        None,
        Decimal(1),
        ["1"],
        {"usd": "1"},
        -1,
        10**100,
    ],
)
def test_what_is_not_a_plain_amount_is_refused_and_never_repaired(usd: Any) -> None:
    with pytest.raises(ValueError, match="usd"):
        usd_to_micros(usd)


@given(st.integers(0, USD_MAX * MICROS))
def test_micros_survive_being_shown_and_read_again(micros: int) -> None:
    shown = micros_to_usd(micros)
    assert usd_to_micros(shown) == micros
    assert len(shown.partition(".")[2]) >= 2


@given(st.text())
def test_any_text_is_read_exactly_or_refused(text: str) -> None:
    try:
        micros = usd_to_micros(text)
    except ValueError:
        return
    assert Decimal(text) * MICROS == micros


@pytest.mark.parametrize("cap", ["tokens", "tool_calls", "minutes", "steps"])
@pytest.mark.parametrize("wrong", ["500", 1.0, 1.5, True, -1, 10**12 + 1, [1], float("nan"), float("inf")])
def test_a_count_that_is_not_a_whole_number_is_refused(cap: str, wrong: Any) -> None:
    with pytest.raises(ValidationError):
        BudgetRequest.model_validate({cap: wrong})


def test_a_misspelt_cap_is_refused_because_ignoring_it_would_widen() -> None:
    with pytest.raises(ValidationError, match="tool_cals"):
        BudgetRequest.model_validate({"tool_cals": 1})


@pytest.mark.parametrize("text", ['{"tokens": NaN}', '{"tokens": 1e3}', '{"usd": NaN}', '{"usd": 1e3}', '{"usd": 0.5}'])
def test_json_numbers_that_are_not_whole_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        BudgetRequest.model_validate(json.loads(text))


@given(agent=contract(Budget), request=contract(BudgetRequest))
def test_a_request_tightens_or_is_refused(agent: Budget, request: BudgetRequest) -> None:
    asked = requested_caps(request)
    widens = any(asked[cap] > getattr(agent, cap) for cap in asked)
    try:
        budget = agent.tightened(request)
    except ValueError as refusal:
        assert widens
        wider = [cap for cap in asked if asked[cap] > getattr(agent, cap)]
        assert all(f"{cap.removesuffix('_micros')} " in str(refusal) for cap in wider)
        return
    assert not widens
    for cap in CAPS:
        assert getattr(budget, cap) == asked.get(cap, getattr(agent, cap)) <= getattr(agent, cap)


@given(agent=contract(Budget), share=st.integers(0, 100))
def test_a_share_of_every_cap_is_granted_as_asked(agent: Budget, share: int) -> None:
    caps = {cap: getattr(agent, cap) * share // 100 for cap in CAPS}
    asked = {"usd": micros_to_usd(caps.pop("usd_micros")), **caps}
    tight = agent.tightened(BudgetRequest.model_validate(asked))
    assert [getattr(tight, cap) for cap in CAPS] == [getattr(agent, cap) * share // 100 for cap in CAPS]


@pytest.mark.parametrize("cap", CAPS)
def test_one_more_than_the_cap_is_refused(cap: str) -> None:
    limit = getattr(Budget(), cap)
    name, at, above = cap, limit, limit + 1
    if cap == "usd_micros":
        name, at, above = "usd", micros_to_usd(limit), micros_to_usd(limit + 1)
    assert Budget().tightened(BudgetRequest.model_validate({name: at})) == Budget()
    with pytest.raises(ValueError, match=f"{name} "):
        Budget().tightened(BudgetRequest.model_validate({name: above}))


def test_an_empty_request_changes_nothing() -> None:
    assert Budget().tightened(BudgetRequest()) == Budget()


def test_what_was_spent_is_shown_as_the_contract_says() -> None:
    spent = Spent(usd_micros=120_000, tokens=7, tool_calls=2, seconds=90.0)
    assert spent.for_people() == {"usd": "0.12", "tokens": 7, "tool_calls": 2, "minutes": 1.5}


def test_a_widened_budget_is_named_in_the_units_that_people_typed() -> None:
    with pytest.raises(ValueError, match=r"tokens 200001 > 200000, usd 5\.00 > 1\.00$"):
        Budget().tightened(BudgetRequest(usd="5.00", tokens=200_001))
