"""A halt, as a run hears of it: at which scope, by whom, why."""

from typing import Literal

from pydantic import Field

from workflows.contracts.base import NAME, Frozen

HaltScope = Literal["run", "agent", "tool", "tenant", "fleet"]


class HaltNotice(Frozen):
    """A halt that is in force. One of a run ends it, one of a tool refuses its calls, any other pauses runs."""

    halt_id: str
    scope: HaltScope
    target: str = ""  # run id, agent, tool or tenant; empty for the fleet
    by: str = Field(default="", max_length=320, pattern=NAME)
    reason: str = Field(default="", max_length=2_000)

    @property
    def rule(self) -> str:
        """The rule that a refusal names."""
        return f"halt.{self.scope}"

    def __str__(self) -> str:
        what = "everything" if self.scope == "fleet" else f"{self.scope} {self.target}"
        return f"{what} was halted by {self.by or 'someone'}" + (f": {self.reason}" if self.reason else "")
