"""What a model call costs, in whole micro-USD. Pure: integers only; an unknown price is a refusal, not zero.

Rates are micro-USD per million tokens, so that $3.75 per million is 3_750_000 and no fraction is ever needed.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from activities.errors import Permanent
from activities.model.provider import Usage

MILLION = 1_000_000
Rate = Annotated[int, Field(strict=True, ge=0)]


class UnknownPrice(Permanent):
    """No price is known for this model, so it may not be called; add one with STANCHION_PRICES."""


class Rates(BaseModel):
    """Micro-USD per million tokens of each kind; `cache_write` is that of a five-minute cache."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Rate
    output: Rate
    cache_read: Rate
    cache_write: Rate


class ModelPrice(Rates):
    """The rates of one model, and the rates of its long prompts where the vendor has such a step."""

    long_above: Rate | None = None  # prompt tokens (fresh, read and written) above which `long` holds for every token
    long: Rates | None = None


def _listed(input_: int, output: int, cache_read: int, cache_write: int) -> ModelPrice:
    """A price from a price list: thousandths of a USD per million tokens."""
    return ModelPrice(
        input=input_ * 1000, output=output * 1000, cache_read=cache_read * 1000, cache_write=cache_write * 1000
    )


_FABLE_5 = _listed(10_000, 50_000, 1_000, 12_500)
_FABLE_5_1 = _listed(10_000, 50_000, 250, 12_500)
_OPUS = _listed(5_000, 25_000, 500, 6_250)
_OPUS_4 = _listed(15_000, 75_000, 1_500, 18_750)
_SONNET = _listed(3_000, 15_000, 300, 3_750)
_HAIKU_5_5_LONG = Rates(input=500_000, output=2_500_000, cache_read=50_000, cache_write=625_000)

# Source: Anthropic's public list, "Pricing" and the model pages of platform.claude.com, as of November 2026.
LISTED: Mapping[str, ModelPrice] = {
    "claude-fable-5-2": _listed(8_000, 40_000, 200, 10_000),
    "claude-fable-5-1": _FABLE_5_1,
    "claude-mythos-5-1": _FABLE_5_1,
    "claude-fable-5": _FABLE_5,
    "claude-mythos-5": _FABLE_5,
    "claude-opus-5-5": _listed(4_000, 20_000, 200, 5_000),
    "claude-opus-5": _OPUS,
    "claude-opus-4-8": _OPUS,
    "claude-opus-4-7": _OPUS,
    "claude-opus-4-6": _OPUS,
    "claude-opus-4-5": _OPUS,
    "claude-opus-4-1": _OPUS_4,
    "claude-opus-4": _OPUS_4,
    "claude-sonnet-5-5": _listed(2_000, 10_000, 100, 2_500),
    "claude-sonnet-5": _listed(2_000, 10_000, 200, 2_500),
    "claude-sonnet-4-6": _SONNET,
    "claude-sonnet-4-5": _SONNET,
    "claude-sonnet-4": _SONNET,
    "claude-haiku-5-5": _listed(100, 500, 10, 125).model_copy(update={"long_above": 100_000, "long": _HAIKU_5_5_LONG}),
    "claude-haiku-4-5": _listed(1_000, 5_000, 100, 1_250),
}

# A dated snapshot or alias costs what its family costs; `-5-7` after `claude-opus-5` is another model, price unknown.
_SNAPSHOT = re.compile(r"(-\d{8}|-0|-latest)?")


class Prices:
    """The price list, with an operator's own prices on top: model -> `ModelPrice` fields in micro-USD per million."""

    def __init__(self, overrides: Mapping[str, Mapping[str, object]] | None = None) -> None:
        """Raises `ValueError` (pydantic) for an override that is not whole, non-negative numbers."""
        own = {_bare(name): ModelPrice.model_validate(value) for name, value in (overrides or {}).items()}
        self._prices = {**LISTED, **own}

    def price(self, model: str, usage: Usage) -> int:
        """What `usage` of `model` (with or without its `provider:`) costs in micro-USD, rounded up. Scripts cost 0.

        Raises `UnknownPrice` for a model that is not on the list, `ValueError` for negative token counts.
        """
        counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
        if min(counts) < 0:
            raise ValueError(f"token counts are never negative: {counts}")
        if model.startswith("scripted:"):
            return 0
        rates = self._rates(model, usage)
        each = (rates.input, rates.output, rates.cache_read, rates.cache_write)
        return -(-sum(count * rate for count, rate in zip(counts, each, strict=True)) // MILLION)

    def ceiling(self, model: str, prompt_tokens: int, max_output_tokens: int) -> int:
        """The most a call can cost in micro-USD, however much of its prompt is written to the cache: to reserve."""
        fresh = Usage(input_tokens=prompt_tokens, output_tokens=max_output_tokens)
        written = Usage(cache_write_tokens=prompt_tokens, output_tokens=max_output_tokens)
        return max(self.price(model, fresh), self.price(model, written))

    def _rates(self, model: str, usage: Usage) -> Rates:
        price = self._find(_bare(model))
        if price is None:
            raise UnknownPrice(f"No price is known for {model!r}, so it may not be called; add one (STANCHION_PRICES).")
        if price.long is None or price.long_above is None:
            return price
        return price.long if usage.total - usage.output_tokens > price.long_above else price

    def _find(self, name: str) -> ModelPrice | None:
        """The price of the longest listed prefix that `name` is a snapshot of."""
        prefixes = sorted((key for key in self._prices if name.startswith(key)), key=len, reverse=True)
        found = (key for key in prefixes if _SNAPSHOT.fullmatch(name[len(key) :]))
        return next((self._prices[key] for key in found), None)


def _bare(model: str) -> str:
    """The id that a price list uses: `anthropic:` is taken off, any other provider stays in the name."""
    return model.removeprefix("anthropic:")


def price(model: str, usage: Usage, overrides: Mapping[str, Mapping[str, object]] | None = None) -> int:
    """`Prices(overrides).price(model, usage)`: micro-USD, rounded up."""
    return Prices(overrides).price(model, usage)
