"""Where caps come from: platform defaults < operator < tenant < agent < request; each may only tighten. Pure.

The operator of the platform speaks for tenant '*' and stands in for a default; everyone else only makes it tighter.
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
MOST = 10**18  # what the tables take: far beyond any budget, and no sum overflows
# The fields of a budget, and the unit that the ledger counts each in. Steps are a limit on one run: no window has them.
UNITS = {"usd_micros": "micro-usd", "tokens": "tokens", "tool_calls": "calls", "minutes": "minutes"}
MODEL_UNITS = frozenset(("micro-usd", "tokens"))
RUN_UNITS = frozenset(("minutes", "slots"))
UNCOUNTED = frozenset(("wait", "read_output", "delegate"))  # the gateway's own tools, which touch nothing
CONSEQUENTIAL: tuple[CallClass, ...] = ("reach", "irreversible", "send", "exec", "money", "admin")  # T3 and T4


class CapInvalid(Permanent):
    """This cap would limit nothing, or something other than meant; the message says what to change."""


@dataclass(frozen=True)
class Rule:
    """At most `cap` of `unit` for each `key` of `scope` in each `period`, by calls of `call_class`.

    `minor` is money in the minor unit of its currency, for each currency by itself; `minor:JPY` is that of one.
    """

    scope: Scope
    unit: str  # a Unit, or minor with its currency
    period: Period
    cap: int
    call_class: str = EVERY
    key: str = EVERY
    level: Level = "platform"
    refusal: str = ""  # the id of a refusal for it, if it has one of its own

    @property
    def kind(self) -> str:
        """The unit without its currency."""
        return self.unit.partition(":")[0]


def call_class(effect: Effect, tier: Tier) -> CallClass:
    """The class a call counts in. A read that reaches a place nobody listed is no read; a T2 write can be undone."""
    dangerous = tier in ("T3", "T4")
    match effect:
        case "read":
            return "reach" if dangerous else "read"
        case "write":
            return "irreversible" if dangerous else "write"
        case _:
            return effect


# What the platform ships with, for every class of T3 and T4: how much one call may do, and all calls of one agent and
# of one tenant in a day (UTC). Money is in minor units of each currency: 1,000,000 are 10,000.00 euros. What a real
# office does in a day stays below; an agent that orders everything anew does not get far.
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
ACTION_BYTES = 262_144  # of arguments: a call that carries more out of the house carries a file
TENANT_SLOTS = 20_000  # runs at once


def platform_defaults() -> tuple[Rule, ...]:
    """The table above, as rules."""
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
        description="What is counted; minor is money, in the minor unit of each currency, minor:EUR that of one",
    )
    per: Period = Field(description="In which time; action is one call")
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
        """As a rule."""
        scope: Scope = "run" if self.per == "run" else "agent"
        return Rule(scope, self.unit, self.per, self.most, self.calls, level="agent")


def refuse_empty(unit: str, period: str, call_class: str, scope: str | None = None, key: str = EVERY) -> None:
    """Raises ValueError for a cap that would never be reached, because nothing is counted that way."""
    if problem := _empty(unit, period, call_class, scope, key):
        raise ValueError(problem)


def _empty(unit: str, period: str, call_class: str, scope: str | None, key: str) -> str | None:
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


@lru_cache(maxsize=512)  # asked at every step and call; the same until someone sets a cap
def stored_rules(text: str | None) -> tuple[Rule, ...]:
    """Rules from the rows of the table `caps`, as the queries give them: a JSON array."""
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
    """A run's budget: the agent's, tightened by the request; and no more than many times what such runs cost."""
    stop = budget.stop_usd_micros
    typical = (Rule("run", "micro-usd", "run", stop, level="request", refusal="budget.typical"),) if stop else ()
    return (
        *typical,
        Rule("run", "calls", "run", budget.tool_calls, level="request", refusal="budget.tool_calls"),
        Rule("run", "micro-usd", "run", budget.usd_micros, level="request", refusal="budget.usd"),
        Rule("run", "tokens", "run", budget.tokens, level="request", refusal="budget.tokens"),
        Rule("run", "minutes", "run", budget.minutes, level="request", refusal="budget.minutes"),
    )


@lru_cache(maxsize=512)  # of a run they are the same at every step and call, until someone sets a cap
def rules_of_run(caps: str | None, own: tuple[AgentCap, ...], budget: str) -> tuple[Rule, ...]:
    """What was set for a run: by its operator and its tenant, by its agent, and as its budget (JSON)."""
    return (*stored_rules(caps), *(cap.rule for cap in own), *budget_rules(Budget.model_validate_json(budget)))


def grant_rule(tool: str, per_day: int) -> Rule:
    """What a grant allows of a tool in a day."""
    return Rule("agent", "calls", "day", per_day, f"tool:{tool}", level="grant", refusal="grant.per-day")


def rank(rule: Rule) -> int:
    """Who speaks for the platform: its defaults, its operator, and that operator about one currency or key.

    The highest rank counts, wider or not; -1 is everyone else, who only tightens.
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
