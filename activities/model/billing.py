"""What an answer is charged: its usage and price by the model that answered, or what was reserved for it. Pure.

A gateway in front of the vendors may have another model answer than was asked, and may leave token counts out. What is
not known is charged as it was reserved: never less than it can have cost.
"""

from dataclasses import dataclass

from activities.model.cost_ceiling import CostCeiling
from activities.model.pricing import Prices, UnknownPrice
from activities.model.provider import Completion, Usage


@dataclass(frozen=True)
class Bill:
    """Tokens and micro-USD of one answer. `estimated` says what was not known; empty if all was."""

    usage: Usage
    usd_micros: int
    estimated: str = ""


def bill_for(completion: Completion, ceiling: CostCeiling, output: int, prices: Prices) -> Bill:
    """The bill. `output`: the most tokens that the answer was allowed. Raises UnknownPrice for the model asked."""
    usage, unknown = _counted(completion.usage, ceiling, output), []
    if completion.usage.missing:
        unknown.append(f"the vendor did not count the tokens of the {' and the '.join(completion.usage.missing)}")
    vendor, _, asked = ceiling.model.partition(":")
    answered = completion.model if completion.model and not ceiling.free else asked
    try:
        return Bill(usage, prices.price(f"{vendor}:{answered}", usage), "; ".join(unknown))
    except UnknownPrice:
        unknown.append(f"no price is known for {answered!r}, which answered instead of {asked!r}")
        most = max(prices.price(ceiling.model, usage), ceiling.of(output)["micro-usd"])
        return Bill(usage, most, "; ".join(unknown))


def _counted(usage: Usage, ceiling: CostCeiling, output: int) -> Usage:
    """The usage, with what was reserved in place of the counts that are missing."""
    reserved: dict[str, int] = {}
    if "prompt" in usage.missing:
        reserved["input_tokens"] = ceiling.prompt_tokens
    if "output" in usage.missing:
        reserved["output_tokens"] = output
    return usage.model_copy(update=reserved) if reserved else usage
