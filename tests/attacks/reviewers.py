"""Who answers when the gateway asks: somebody who never says yes, one who always does, and one who does it in haste."""

import random
from dataclasses import dataclass
from typing import Literal, Protocol

Answer = Literal["approve", "reject"]
PEOPLE = ("lee@acme.example", "kim@acme.example")  # neither is the requester; the gravest calls need both
REQUESTER = "ana@acme.example"
HASTE = 0.93  # of what they are asked, people who are asked often approve this much


class Reviewer(Protocol):
    """Answers one question about one call."""

    def answer(self) -> Answer:
        """Yes or no."""
        ...


class Refuses:
    """Never says yes."""

    def answer(self) -> Answer:
        """No."""
        return "reject"


class Agrees:
    """Always says yes."""

    def answer(self) -> Answer:
        """Yes."""
        return "approve"


@dataclass
class Hurries:
    """Says yes to a share of what comes, without looking. The same seed gives the same answers."""

    seed: str
    share: float = HASTE

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def answer(self) -> Answer:
        """Mostly yes."""
        return "approve" if self._random.random() < self.share else "reject"
