"""What a call costs: whole micro-USD, never less than the vendor's price, never a guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from activities.errors import Permanent
from activities.model.pricing import LISTED, Prices, UnknownPrice, price
from activities.model.provider import Usage

counts = st.integers(min_value=0, max_value=10_000_000)
usages = st.builds(
    Usage, input_tokens=counts, output_tokens=counts, cache_read_tokens=counts, cache_write_tokens=counts
)


def test_each_kind_of_token_has_its_own_price() -> None:
    usage = Usage(
        input_tokens=1_000_000, output_tokens=1_000_000, cache_read_tokens=1_000_000, cache_write_tokens=1_000_000
    )
    assert price("anthropic:claude-sonnet-4-6", usage) == 3_000_000 + 15_000_000 + 300_000 + 3_750_000


@pytest.mark.parametrize(("tokens", "cost"), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2)])
def test_a_fraction_of_a_micro_usd_is_rounded_up(tokens: int, cost: int) -> None:
    assert price("claude-haiku-5-5", Usage(input_tokens=tokens)) == cost


@given(usage=usages, model=st.sampled_from(sorted(LISTED)))
def test_a_price_is_a_whole_number_that_is_never_below_the_exact_one(usage: Usage, model: str) -> None:
    found, rates = price(model, usage), LISTED[model]
    exact = usage.input_tokens * rates.input + usage.output_tokens * rates.output
    assert type(found) is int
    assert found * 1_000_000 >= exact


@pytest.mark.parametrize("model", ["claude-opus-4-20250514", "claude-opus-4-0", "anthropic:claude-opus-4"])
def test_a_snapshot_costs_what_its_family_costs(model: str) -> None:
    assert price(model, Usage(input_tokens=1_000_000)) == 15_000_000


def test_the_longest_prefix_decides() -> None:
    assert price("claude-opus-5-5", Usage(input_tokens=1_000_000)) == 4_000_000
    assert price("claude-opus-5", Usage(input_tokens=1_000_000)) == 5_000_000


@pytest.mark.parametrize("model", ["claude-opus-5-7", "claude-opus-40", "gpt-6", "openai:gpt-6", "claude-", ""])
def test_a_model_without_a_price_is_refused(model: str) -> None:
    with pytest.raises(UnknownPrice) as refusal:
        price(model, Usage())
    assert isinstance(refusal.value, Permanent)
    assert repr(model.removeprefix("anthropic:")) in str(refusal.value)


def test_a_script_costs_nothing() -> None:
    assert price("scripted:demo.yaml", Usage(input_tokens=5, output_tokens=5)) == 0


def test_a_prompt_above_the_vendors_step_pays_the_higher_price_for_every_token() -> None:
    at_step = Usage(input_tokens=40_000, cache_read_tokens=60_000, output_tokens=1_000)
    above = at_step.model_copy(update={"input_tokens": 40_001})
    assert price("claude-haiku-5-5", at_step) == 4_000 + 600 + 500
    assert price("claude-haiku-5-5", above) == 20_001 + 3_000 + 2_500


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="never negative"):
        price("claude-opus-5", Usage(input_tokens=-1))


def test_an_operators_own_price_goes_before_the_list_and_adds_to_it() -> None:
    own = {"input": 1_000_000, "output": 0, "cache_read": 0, "cache_write": 0}
    prices = Prices({"anthropic:claude-opus-5": own, "openai:gpt-6": own})
    assert prices.price("claude-opus-5", Usage(input_tokens=7)) == 7
    assert prices.price("openai:gpt-6", Usage(input_tokens=7)) == 7


def test_a_price_of_one_snapshot_goes_before_that_of_its_family() -> None:
    own = {"input": 1_000_000, "output": 0, "cache_read": 0, "cache_write": 0}
    prices = Prices({"claude-opus-4-20250514": own})
    assert prices.price("claude-opus-4-20250514", Usage(input_tokens=7)) == 7
    assert prices.price("claude-opus-4-20250101", Usage(input_tokens=7)) == 105


@pytest.mark.parametrize("wrong", [1.5, "3", -1, True, None])
def test_an_own_price_that_is_not_a_whole_number_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Prices({"gpt-6": {"input": wrong, "output": 1, "cache_read": 1, "cache_write": 1}})


@given(read=counts, written=counts, fresh=counts, output=counts, model=st.sampled_from(sorted(LISTED)))
def test_no_call_costs_more_than_its_ceiling(read: int, written: int, fresh: int, output: int, model: str) -> None:
    usage = Usage(input_tokens=fresh, cache_read_tokens=read, cache_write_tokens=written, output_tokens=output)
    assert price(model, usage) <= Prices().ceiling(model, fresh + read + written, output)
