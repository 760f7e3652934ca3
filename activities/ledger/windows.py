"""Computes the windows that a call, a step or a run reserves from, and the amount of each. Pure.

Use that cannot be counted is refused: an amount that is no whole number, or an unknown currency.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from activities.errors import Permanent
from activities.ledger.caps import EVERY, MOST, Rule, rank
from activities.ledger.currencies import CURRENCIES, NO_CURRENCY
from activities.policy.values.canonical_names import addresses_in, fold_text, place_of
from activities.storage.canonical import canonical_json, sha256_hex
from activities.tools.facts import Facts
from workflows.contracts.budgets import micros_to_usd
from workflows.visible import show_hidden_characters

SHOWN = 60  # characters of a value in a reason
UNREADABLE = "(unreadable)"  # the common destination of all values that cannot be parsed unambiguously
_WORDS = {"minor": "minor units", "micro-usd": "USD", "bytes-out": "bytes", "slots": "running slots"}


class CapReached(Permanent):
    """A window has too little left, or the use cannot be counted; nothing was started."""

    def __init__(self, rule: str, reason: str, *, left: int = 0, unit: str = "") -> None:
        super().__init__(reason)
        self.rule = rule
        self.left = left  # the amount of `unit` that is left in the window
        self.unit = unit


@dataclass(frozen=True)
class Spender:
    """The run that uses something, and for whom."""

    run_id: str
    agent: str
    tenant: str
    requester: str | None = None


@dataclass(frozen=True)
class Window:
    """An amount to reserve from one window. The database adds the start of its period, by its own clock."""

    tenant: str
    scope: str
    key: str
    unit: str  # money with its currency, such as minor:EUR
    call_class: str
    period: str
    cap: int
    amount: int
    members: tuple[str, ...] | None = None  # digests of recipients; each counts once per window
    rule: str = ""  # the rule id of a refusal if the window has too little left

    @property
    def place(self) -> tuple[str, ...]:
        """The identity of the window, but for the start of its period."""
        return (self.tenant, self.scope, self.key, self.unit, self.call_class, self.period)

    def refusal(self, *, used: int, reserved: int, amount: int) -> CapReached:
        """The error if the window has too little left; its message says how much."""
        left = max(self.cap - used - reserved, 0)
        per = {"action": "at once", "total": "at a time"}.get(self.period, f"a {self.period}")
        held = f", {self._format(reserved)} reserved" if reserved else ""
        reason = (
            f"{self._format(left)} of {self._format(self.cap)} {self._unit_and_class} {per} are left "
            f"to this {self.scope} ({self._format(used)} used{held}), and it needs {self._format(amount)}"
        )
        return CapReached(self.rule, reason, left=left, unit=self.unit)

    @property
    def _unit_and_class(self) -> str:
        if self.call_class == EVERY:
            return self._unit_name
        by = self.call_class.removeprefix("tool:")
        return f"{by} calls" if self.unit == "calls" else f"{self._unit_name} by {by} calls"

    @property
    def _unit_name(self) -> str:
        unit, _, currency = self.unit.partition(":")
        return _WORDS.get(unit, unit) + (f" of {currency}" if currency not in ("", NO_CURRENCY) else "")

    def _format(self, amount: int) -> str:
        return micros_to_usd(amount) if self.unit == "micro-usd" else str(amount)


@dataclass(frozen=True)
class Use:
    """What a call, step or run uses, by unit, and the classes it counts in.

    Money and recipients are not in `amounts`; they are computed from the arguments if a rule counts them.
    """

    amounts: Mapping[str, int]
    classes: tuple[str, ...] = (EVERY,)
    facts: Facts = field(default_factory=Facts)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)  # default values of arguments


def call_use(tool: str, call_class: str, facts: Facts, arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> Use:
    """The use of one call. `schema`: JSON Schema of its arguments."""
    properties = schema.get("properties") or {}
    defaults = {
        name: each["default"] for name, each in properties.items() if isinstance(each, dict) and "default" in each
    }
    amounts = {"calls": 1, "bytes-out": len(canonical_json(dict(arguments)))}
    return Use(amounts, (EVERY, call_class, f"tool:{tool}"), facts, arguments, defaults)


def windows_for(spender: Spender, use: Use, rules: Iterable[Rule]) -> list[Window]:
    """Every window that these rules require for this use, each once, with the cap in force.

    Raises CapReached if one action is too large by itself, or if the use cannot be counted.
    """
    by_place: dict[tuple[str, ...], Window] = {}
    highest: dict[tuple[str, ...], int] = {}
    for rule in sorted((rule for rule in rules if rule.call_class in use.classes), key=rank, reverse=True):
        for window in _windows_of_rule(spender, use, rule):
            place, highest_rank = window.place, highest.setdefault(window.place, rank(rule))
            if place not in by_place or (rank(rule) in (-1, highest_rank) and window.cap < by_place[place].cap):
                by_place[place] = window
    for window in by_place.values():
        if window.period == "action" and window.amount > window.cap:
            raise window.refusal(used=0, reserved=0, amount=window.amount)
    return [window for window in by_place.values() if window.period != "action" and (window.amount or window.members)]


def _windows_of_rule(spender: Spender, use: Use, rule: Rule) -> Iterator[Window]:
    for unit, amount, members in _amounts(use, rule):
        for key in _keys(spender, use, rule):
            name = rule.refusal or f"budget.{rule.kind}.{rule.scope}.{rule.period}"
            yield Window(
                spender.tenant, rule.scope, key, unit, rule.call_class, rule.period, rule.cap, amount, members, name
            )


def _keys(spender: Spender, use: Use, rule: Rule) -> Iterator[str]:
    requester = None if spender.requester is None else _canonical_name(spender.requester)
    own = {"run": spender.run_id, "agent": spender.agent, "tenant": "", "requester": requester}
    keys = destinations(use) if rule.scope == "destination" else [own[rule.scope]]
    accepted = {rule.key}
    if rule.scope in ("requester", "destination"):  # people may spell the rule's key in several ways
        accepted |= {_canonical_name(rule.key), _account(rule.key)}
    for key in keys:
        if key is not None and (rule.key == EVERY or key in accepted):
            yield key


def _canonical_name(name: str) -> str:
    """A name in canonical form, so that another spelling has no budget of its own."""
    return fold_text(name).strip(" .")


def _amounts(use: Use, rule: Rule) -> Iterator[tuple[str, int, tuple[str, ...] | None]]:
    """(unit with its currency, amount, members) for each amount that counts against a rule."""
    if rule.kind == "minor":
        if (money := _money(use)) is not None:
            unit = f"minor:{_currency(use)}"
            if rule.unit in ("minor", unit):
                yield unit, money, None
    elif rule.unit == "recipients":
        unique = recipients(use)
        if unique:
            digests = None if rule.period == "action" else tuple(sha256_hex(each)[:32] for each in unique)
            yield "recipients", len(unique), digests
    elif rule.unit in use.amounts:
        amount = use.amounts[rule.unit]
        if not 0 <= amount <= MOST:
            raise CapReached(f"budget.{rule.unit}", f"{amount} {rule.unit} cannot be counted; nothing was done")
        yield rule.unit, amount, None


# ── reading arguments ───────────────────────────────────────────────────────────────────────────────────────────────


def _money(use: Use) -> int | None:
    """The sum of all amounts, in minor units; None if the tool has no argument for one. Raises CapReached."""
    names = [name for name, kind in use.facts.sensitive.items() if kind == "amount"]
    if not names:
        return None
    total = sum(_whole_number(name, value) for name in names for value in _as_list(_argument(use, name)))
    if total > MOST:
        raise CapReached("budget.amount", f"an amount of {total} is more than can be counted; nothing was done")
    return total


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        shown = show_hidden_characters(str(value)[:SHOWN])
        raise CapReached("budget.amount", f"{name} is a whole number of minor units, 0 or more, not {shown!r}")
    return value


def _currency(use: Use) -> str:
    """The currency that a call names; NO_CURRENCY if its tool has no argument for one. Raises CapReached."""
    if "currency" not in use.arguments and "currency" not in use.defaults:
        return NO_CURRENCY
    value = _argument(use, "currency")
    if value is None:
        return NO_CURRENCY
    if not isinstance(value, str) or value not in CURRENCIES:
        shown = show_hidden_characters(str(value)[:SHOWN])
        raise CapReached("budget.currency", f"currency is a code of ISO 4217 such as EUR, not {shown!r}")
    return value


def _argument(use: Use, name: str) -> Any:
    return use.arguments.get(name, use.defaults.get(name))


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def recipients(use: Use) -> tuple[str, ...]:
    """The recipients of a call, each once, in canonical form."""
    unique: dict[str, None] = {}
    for argument, kind in use.facts.sensitive.items():
        if kind == "recipient":
            for value in _as_list(_argument(use, argument)):
                unique.update(dict.fromkeys(_addresses(value)))
    return tuple(unique)


def _addresses(value: Any) -> Iterable[str]:
    if value is None:
        return ()
    if isinstance(value, dict | list):
        within = dict.fromkeys(each for text in _strings_in(value) if "@" in text for each in _addresses(text))
        return within or [canonical_json(value)]
    text = str(value)
    try:
        return addresses_in(text)
    except ValueError:  # a channel, a name, a number, or addresses that cannot be parsed unambiguously
        separator = r"[,;]|\s+" if "@" in fold_text(text) else r"[,;]|[^\S ]+"
        return [part for each in re.split(separator, text) if (part := _canonical_name(each))]


def _strings_in(value: Any) -> Iterator[str]:
    """Every string within a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings_in(each)


def destinations(use: Use) -> list[str]:
    """The destinations of a call: its recipients, the hosts of its URLs, its accounts."""
    found = dict.fromkeys(recipients(use))
    for argument, kind in use.facts.sensitive.items():
        if kind in ("url", "host", "account"):
            for value in _as_list(_argument(use, argument)):
                if value is not None:
                    found[_account(str(value)) if kind == "account" else _host(str(value), kind)] = None
    return [clipped for each in found if (clipped := each[:300])]


def _account(value: str) -> str:
    """An account number without blanks, dots and hyphens, in upper case."""
    return re.sub(r"[\s.-]", "", fold_text(value)).upper()


def _host(value: str, kind: str) -> str:
    try:
        return place_of(value if kind == "url" else f"https://{value.strip()}/").host
    except ValueError:
        return UNREADABLE
