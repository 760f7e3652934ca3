"""The most a model call can cost, before it is made. Pure: bytes, tokens and prices; no vendor is asked.

A token is at least one byte of what is sent, in every tokenizer in use, so bytes bound tokens from above. Where that
bound does not fit a budget, the vendor is asked for its own count, if that is free. From the
second step on the vendor's own count of the step before is the better bound, and only what is new counts in bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from activities.model.pricing import Prices
from activities.model.provider import Message, OfferedTool, Usage

FRAME = 600  # tokens a vendor adds to a prompt with tools, with room to spare
AROUND_MESSAGE = 16  # and around each turn
DRIFT = 20  # a vendor's count of the same words differs by less than one part in twenty
LONGEST_TOKEN = 8  # bytes; prose has about four bytes a token
LEAST_OUTPUT = 256  # tokens; an answer with less room than that is cut in the middle of its first call


@dataclass(frozen=True)
class CostCeiling:
    """What a call may use at most, by how many tokens it may answer with."""

    prices: Prices
    model: str
    prompt_tokens: int
    most_output: int

    @property
    def free(self) -> bool:
        """Nothing is bought: a script says how many tokens it would have used, and no bound is known beforehand."""
        return self.model.startswith("scripted:")

    def of(self, output: int) -> dict[str, int]:
        """What to reserve, by unit. Raises UnknownPrice."""
        return {
            "tokens": self.prompt_tokens + output,
            "micro-usd": self.prices.ceiling(self.model, self.prompt_tokens, output),
        }

    def within(self, left: Mapping[str, int]) -> int | None:
        """The longest answer that fits what is left of each unit; None if there is no room for one worth asking for."""
        if self.free:
            return self.most_output if min(left.values(), default=1) > 0 else None
        least = min(LEAST_OUTPUT, self.most_output)
        fits = _longest(self.most_output, lambda output: all(self.of(output)[u] <= most for u, most in left.items()))
        return fits if fits >= least else None


def prompt_bound(
    system: str, tools: Iterable[OfferedTool], messages: Iterable[Message], before: Usage | None = None
) -> int:
    """The most tokens a prompt has. With the usage of the step `before`, `messages` are only those it had not seen."""
    new = sum(len(message.model_dump_json().encode()) + AROUND_MESSAGE for message in messages)
    if before is not None and before.total:
        return before.total + before.total // DRIFT + new
    return FRAME + len(system.encode()) + sum(len(tool.model_dump_json().encode()) for tool in tools) + new


def counted_bound(counted: int, by_bytes: int, before: Usage | None = None) -> int:
    """The most tokens a prompt has that the vendor counted beforehand: its count and that of the answer may differ.

    A gateway's count is not trusted below what is plausible: a token for `LONGEST_TOKEN` bytes, and what the step
    `before` had.
    """
    least = max(by_bytes // LONGEST_TOKEN, before.total if before else 0)
    return max(counted + counted // DRIFT + AROUND_MESSAGE, least)


def _longest(most: int, fits: Callable[[int], bool]) -> int:
    """The greatest number up to `most` that fits; -1 if not even 0 does. What fits, fits smaller."""
    low, high = -1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
