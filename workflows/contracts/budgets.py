"""What a run may use and has used. Money is integers: micro-USD (1 USD = 1,000,000). Requests may only tighten."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from workflows.contracts.base import Frozen, WrittenInFull
from workflows.contracts.money import MICROS as MICROS
from workflows.contracts.money import micros_to_usd as micros_to_usd

USD_MAX = 1_000_000_000  # a typing error, not a budget, beyond it
# Decimal() alone would also take "1e3", "1_000", " 1 " and the digits of other scripts, and round what is too long.
_USD = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?")


def usd_to_micros(value: Any) -> int:
    """Micro-USD from a decimal string such as "2.00" or whole USD. Raises ValueError for everything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError('usd is a decimal string such as "2.00"')
    if isinstance(value, str) and not _USD.fullmatch(value):
        raise ValueError('usd is a decimal string such as "2.00", with at most six decimals')
    amount = Decimal(value)
    if not 0 <= amount <= USD_MAX:
        raise ValueError(f"usd must be between 0 and {USD_MAX}")
    return int(amount * MICROS)


def _checked_usd(value: Any) -> str:
    return micros_to_usd(usd_to_micros(value))


Usd = Annotated[str, BeforeValidator(_checked_usd)]
Count = Annotated[int, Field(ge=0, le=10**12, strict=True)]


class BudgetRequest(Frozen):
    """Caps that a request or a definition names; None leaves the cap as it was."""

    # A misspelt cap that is ignored would be no cap at all, so this model refuses what it does not know.
    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: Usd | None = None
    tokens: Count | None = None
    tool_calls: Count | None = None
    minutes: Count | None = None
    steps: Count | None = None


class Budget(WrittenInFull):
    """The caps in force for one run. `minutes` counts active time: waiting for a person or a timer is free."""

    usd_micros: int = 1_000_000
    tokens: int = 200_000
    tool_calls: int = 20
    minutes: int = 30
    steps: int = 50
    # Resolved as the run was opened, from what runs of this agent cost; 0: too few were completed to say.
    typical_usd_micros: int = 0
    alarm_usd_micros: int = 0  # from here on people are told
    stop_usd_micros: int = 0  # from here on nothing more is begun

    def tightened(self, request: BudgetRequest) -> "Budget":
        """These caps with those of `request` where given. Raises ValueError naming every cap it would widen."""
        asked = requested_caps(request)
        wider = [_wider(name, asked[name], cap) for name in asked if asked[name] > (cap := getattr(self, name))]
        if wider:
            raise ValueError("a request may tighten the agent's budget, never widen it: " + ", ".join(wider))
        return self.model_copy(update=asked)

    def cap_of(self, rule: str) -> int:
        """The cap that a rule such as budget.tokens guards; 0 for what is no cap of a run."""
        name = rule.removeprefix("budget.")
        return int(getattr(self, {"usd": "usd_micros", "typical": "stop_usd_micros"}.get(name, name), 0))


def requested_caps(request: BudgetRequest) -> dict[str, int]:
    """The caps that `request` names, in the units of `Budget`."""
    caps = {
        name: value
        for name in ("tokens", "tool_calls", "minutes", "steps")
        if (value := getattr(request, name)) is not None
    }
    if request.usd is not None:
        caps["usd_micros"] = usd_to_micros(request.usd)
    return caps


def _wider(name: str, asked: int, cap: int) -> str:
    if name == "usd_micros":
        return f"usd {micros_to_usd(asked)} > {micros_to_usd(cap)}"
    return f"{name} {asked} > {cap}"


class Spent(Frozen):
    """What a run has used so far."""

    usd_micros: int = 0
    tokens: int = 0
    tool_calls: int = 0
    seconds: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        """Both together."""
        return self.having(
            usd_micros=self.usd_micros + other.usd_micros,
            tokens=self.tokens + other.tokens,
            tool_calls=self.tool_calls + other.tool_calls,
            seconds=self.seconds + other.seconds,
        )

    def for_people(self) -> dict[str, Any]:
        """As the public contract shows it: `{"usd": "0.12", "tokens": n, "tool_calls": n, "minutes": 1.5}`."""
        return {
            "usd": micros_to_usd(self.usd_micros),
            "tokens": self.tokens,
            "tool_calls": self.tool_calls,
            "minutes": round(self.seconds / 60, 2),
        }
