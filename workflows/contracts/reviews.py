"""An agent's opinion about a call, as one of several people who are asked: the request, and what came of it."""

from typing import Literal

from workflows.contracts.base import Frozen

ReviewVerdict = Literal["approve", "reject", "none"]


class ReviewRequest(Frozen):
    """Ask the reviewer that an approval names."""

    run_id: str
    approval_id: str


class ReviewGiven(Frozen):
    """What the reviewer said. Its yes is one of the yeses that are needed; its no is shown to the people asked.

    `none`: it could not be asked, or gave no answer; people decide alone. `closes` says whether the approval is
    settled by it, because everyone else who is needed had said yes before.
    """

    kind: Literal["review.given"] = "review.given"
    approval_id: str
    agent: str = ""
    verdict: ReviewVerdict = "none"
    reason: str = ""
    closes: bool = False
    tokens: int = 0
    usd_micros: int = 0
