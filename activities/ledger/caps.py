"""Caps and where they come from: platform defaults, operator, tenant, agent, grant, request. Pure.

The operator's caps, set for tenant '*', replace the platform's defaults, and may be wider or tighter. All others can
only make a cap tighter.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from activities.errors import Permanent
from activities.ledger.currencies import CURRENCIES, NO_CURRENCY
from activities.tools.facts import Effect
from workflows.contracts.budgets import Budget
from workflows.contracts.calls import Tier

Scope = Literal["run", "agent", "tenant", "requester", "destination"]
Period = Literal["action", "run", "hour", "day", "month", "total"]
Unit = Literal["micro-usd", "tokens", "calls", "minor", "recipients", "bytes-out", "minutes", "slots"]
Level = Literal["platform", "operator", "tenant", "agent", "grant", "request"]
CallClass = Literal["read", "reach", "write", "irreversible", "send", "exec", "money", "admin"]

EVERY = "*"
MOST = 10**18  # the largest amount in the tables; far beyond any budget, and sums do not overflow
# The fields of a budget -> the unit that the ledger counts each in. Steps are not here: the run itself counts them.
UNITS = {"usd_micros": "micro-usd", "tokens": "tokens", "tool_calls": "calls", "minutes": "minutes"}
MODEL_UNITS = frozenset(("micro-usd", "tokens"))
RUN_UNITS = frozenset(("minutes", "slots"))
UNCOUNTED = frozenset(("wait", "read_output", "delegate"))  # built-in tools; their calls count against no cap
CONSEQUENTIAL: tuple[CallClass, ...] = ("reach", "irreversible", "send", "exec", "money", "admin")  # T3 and T4


class CapInvalid(Permanent):
    """This cap would limit nothing, or not what was meant; the message says what to change."""


@dataclass(frozen=True)
class Rule:
    """At most `cap` of `unit` for each `key` of `scope` in each `period`, by calls of `call_class`.

    The unit `minor` is money in minor units, capped separately for each currency; `minor:JPY` is money in yen only.
    """

    scope: Scope
    unit: str  # a Unit, or `minor:` with a currency
    period: Period
    cap: int
    call_class: str = EVERY
    key: str = EVERY
    level: Level = "platform"
    refusal: str = ""  # the rule id of a refusal by this cap; "" for one made from unit, scope and period

    @property
    def kind(self) -> str:
        """The unit without its currency."""
        return self.unit.partition(":")[0]


def call_class(effect: Effect, tier: Tier) -> CallClass:
    """The class that a call counts in. A T3 read reaches an unlisted destination; a T2 write can be undone."""
    dangerous = tier in ("T3", "T4")
    match effect:
        case "read":
            return "reach" if dangerous else "read"
        case "write":
            return "irreversible" if dangerous else "write"
        case _:
            return effect


# The platform's default caps for each class of T3 and T4 calls: for one call, and for all calls of one agent or one
# tenant in a UTC day. Money is in minor units of each currency: 1,000,000 is 10,000.00 euros. The normal work of an
# office stays below them, and an agent that repeats its orders is stopped soon.
#
# class: (calls a day of one agent, of one tenant)
DAILY_CALLS: dict[CallClass, tuple[int, int]] = {
    "reach": (2_000, 20_000),
    "irreversible": (1_000, 10_000),
    "send": (500, 5_000),
    "exec": (2_000, 20_000),
    "money": (100, 500),
    "admin": (50, 200),
}
ACTION_MINOR, AGENT_DAY_MINOR, TENANT_DAY_MINOR = 1_000_000, 5_000_000, 20_000_000
ACTION_RECIPIENTS, AGENT_DAY_RECIPIENTS = 50, 500
ACTION_BYTES = 262_144  # of a call's arguments; more is probably a file
TENANT_SLOTS = 20_000  # runs at once


def platform_defaults() -> tuple[Rule, ...]:
    """The platform's default caps, as rules."""
    rules = [Rule("tenant", "slots", "total", TENANT_SLOTS)]
    for name, (of_agent, of_tenant) in DAILY_CALLS.items():
        rules += [
            Rule("agent", "calls", "day", of_agent, name),
            Rule("tenant", "calls", "day", of_tenant, name),
            Rule("agent", "minor", "action", ACTION_MINOR, name),
            Rule("agent", "minor", "day", AGENT_DAY_MINOR, name),
            Rule("tenant", "minor", "day", TENANT_DAY_MINOR, name),
            Rule("agent", "recipients", "action", ACTION_RECIPIENTS, name),
            Rule("agent", "recipients", "day", AGENT_DAY_RECIPIENTS, name),
            Rule("agent", "bytes-out", "action", ACTION_BYTES, name),
        ]
    return tuple(rules)


DEFAULTS = platform_defaults()


class AgentCap(BaseModel):
    """A cap in an agent's YAML: on each of its runs (`per: run`), or on all of them together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str = Field(
        pattern=rf"^({'|'.join(get_args(Unit))}|minor:[A-Z]{{3}})$",
        description="What is counted; minor is money in minor units, for each currency; minor:EUR is euros only",
    )
    per: Period = Field(description="The period; action is one call")
    most: int = Field(ge=0, le=MOST, strict=True)
    calls: str = Field(
        default=EVERY,
        pattern=rf"^(\*|{'|'.join(get_args(CallClass))}|tool:[A-Za-z_]\w*)$",
        description="Which calls: a class such as send or money, tool:NAME, or * for all",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        refuse_empty(self.unit, self.per, self.calls)
        return self

    @property
    def rule(self) -> Rule:
        """This cap as a rule."""
        scope: Scope = "run" if self.per == "run" else "agent"
        return Rule(scope, self.unit, self.per, self.most, self.calls, level="agent")


def refuse_empty(unit: str, period: str, call_class: str, scope: str | None = None, key: str = EVERY) -> None:
    """Raise ValueError for a cap that would never be reached, because no use counts against it."""
    if problem := _why_empty(unit, period, call_class, scope, key):
        raise ValueError(problem)


def _why_empty(unit: str, period: str, call_class: str, scope: str | None, key: str) -> str | None:
    kind, _, currency = unit.partition(":")
    if currency and currency not in CURRENCIES | {NO_CURRENCY}:
        return f"{currency} is no currency of ISO 4217, such as EUR"
    if kind in MODEL_UNITS | RUN_UNITS and call_class != EVERY:
        return f"{kind} are not used by calls of one class; leave the class out"
    if call_class.removeprefix("tool:") in UNCOUNTED:
        return f"calls of {call_class.removeprefix('tool:')} use nothing; `delegation:` in an agent limits delegating"
    if kind in RUN_UNITS and period == "action":
        return f"{kind} are counted for whole runs, not for one call"
    if kind == "slots" and period != "total":
        return "slots are runs at once: per total"
    if scope is not None and (scope == "run") != (period == "run"):
        return "scope run goes with period run, and no other scope does"
    if scope == "destination" and kind in MODEL_UNITS | RUN_UNITS:
        return f"{kind} have no destination"
    if scope == "tenant" and key != EVERY:
        return "a cap of scope tenant is about the whole tenant: say which with --tenant, and leave the key out"
    return None


@lru_cache(maxsize=512)  # called at every step and call; the rows stay the same until someone sets a cap
def stored_rules(text: str | None) -> tuple[Rule, ...]:
    """The rules in rows of the table `caps`, given as a JSON array."""
    if not text:
        return ()
    return tuple(
        Rule(
            scope=row["scope"],
            unit=row["unit"],
            period=row["period"],
            cap=row["cap"],
            call_class=row["class"],
            key=row["key"],
            level="operator" if row["tenant"] == EVERY else "tenant",
        )
        for row in json.loads(text)
    )


def budget_rules(budget: Budget) -> tuple[Rule, ...]:
    """A run's budget as rules; with a cap on its cost, if runs of its agent have a typical cost."""
    stop = budget.stop_usd_micros
    typical = (Rule("run", "micro-usd", "run", stop, level="request", refusal="budget.typical"),) if stop else ()
    return (
        *typical,
        Rule("run", "calls", "run", budget.tool_calls, level="request", refusal="budget.tool_calls"),
        Rule("run", "micro-usd", "run", budget.usd_micros, level="request", refusal="budget.usd"),
        Rule("run", "tokens", "run", budget.tokens, level="request", refusal="budget.tokens"),
        Rule("run", "minutes", "run", budget.minutes, level="request", refusal="budget.minutes"),
    )


@lru_cache(maxsize=512)  # called at every step and call of a run; the rules stay the same until someone sets a cap
def rules_of_run(caps: str | None, own: tuple[AgentCap, ...], budget: str) -> tuple[Rule, ...]:
    """The rules of a run, without the defaults: caps of operator and tenant (JSON), of its agent, its budget (JSON)."""
    return (*stored_rules(caps), *(cap.rule for cap in own), *budget_rules(Budget.model_validate_json(budget)))


def grant_rule(tool: str, per_day: int) -> Rule:
    """The cap of a grant on the calls of a tool per day."""
    return Rule("agent", "calls", "day", per_day, f"tool:{tool}", level="grant", refusal="grant.per-day")


def rank(rule: Rule) -> int:
    """The precedence of a rule for the whole platform; -1 for a rule of anyone else.

    0 is a platform default, 1 to 4 an operator's cap; one for a single currency or key has a higher rank. Among ranks
    from 0 on, the highest counts, even if its cap is wider. A rule of rank -1 counts if it is tighter.
    """
    match rule.level:
        case "platform":
            return 0
        case "operator":
            return 1 + (rule.unit != rule.kind) + 2 * (rule.key != EVERY)
        case _:
            return -1


_CLASS = re.compile(rf"\*|{'|'.join(get_args(CallClass))}|tool:[A-Za-z_]\w*")


def checked_rule(rule: Rule) -> Rule:
    """The rule, if it limits something. Raises CapInvalid."""
    if not _CLASS.fullmatch(rule.call_class):
        known = ", ".join(get_args(CallClass))
        raise CapInvalid(f"{rule.call_class!r} is no class of calls; there are {known}, and tool:NAME")
    if isinstance(rule.cap, bool) or not 0 <= rule.cap <= MOST:
        raise CapInvalid(f"a cap is a whole number from 0 to {MOST}")
    try:
        scope = rule.scope if rule.period != "action" or rule.scope == "tenant" else None
        refuse_empty(rule.unit, rule.period, rule.call_class, scope, rule.key)
    except ValueError as error:
        raise CapInvalid(str(error)) from None
    return rule
