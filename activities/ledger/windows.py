"""From a call, a step or a run, and the caps in force, to the windows it needs and how much of each. Pure.

What cannot be counted is refused: an amount that is no whole number, a currency that does not exist.
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
UNREADABLE = "(unreadable)"  # the one destination of whatever is no place that everyone reads alike
_WORDS = {"minor": "minor units", "micro-usd": "USD", "bytes-out": "bytes", "slots": "running slots"}


class CapReached(Permanent):
    """A budget has too little left; nothing was started."""

    def __init__(self, rule: str, reason: str, *, left: int = 0, unit: str = "") -> None:
        super().__init__(reason)
        self.rule = rule
        self.left = left  # of `unit`, in the window that had too little
        self.unit = unit


@dataclass(frozen=True)
class Spender:
    """For whom something is used."""

    run_id: str
    agent: str
    tenant: str
    requester: str | None = None


@dataclass(frozen=True)
class Window:
    """What is reserved of one window. The database adds when its period starts, by its own clock."""

    tenant: str
    scope: str
    key: str
    unit: str  # with its currency: minor:EUR
    call_class: str
    period: str
    cap: int
    amount: int
    members: tuple[str, ...] | None = None  # counted once each
    rule: str = ""  # the id of the refusal when it has too little left

    @property
    def place(self) -> tuple[str, ...]:
        """Which window it is."""
        return (self.tenant, self.scope, self.key, self.unit, self.call_class, self.period)

    def refusal(self, *, used: int, reserved: int, amount: int) -> CapReached:
        """What is told when it has too little left."""
        left = max(self.cap - used - reserved, 0)
        per = {"action": "at once", "total": "at a time"}.get(self.period, f"a {self.period}")
        held = f", {self._said(reserved)} reserved" if reserved else ""
        reason = (
            f"{self._said(left)} of {self._said(self.cap)} {self._what_by_whom} {per} are left to this {self.scope} "
            f"({self._said(used)} used{held}), and it needs {self._said(amount)}"
        )
        return CapReached(self.rule, reason, left=left, unit=self.unit)

    @property
    def _what_by_whom(self) -> str:
        if self.call_class == EVERY:
            return self._what
        by = self.call_class.removeprefix("tool:")
        return f"{by} calls" if self.unit == "calls" else f"{self._what} by {by} calls"

    @property
    def _what(self) -> str:
        unit, _, currency = self.unit.partition(":")
        return _WORDS.get(unit, unit) + (f" of {currency}" if currency not in ("", NO_CURRENCY) else "")

    def _said(self, amount: int) -> str:
        return micros_to_usd(amount) if self.unit == "micro-usd" else str(amount)


@dataclass(frozen=True)
class Use:
    """What something uses, by unit, and the classes it counts in. Money is found only if a cap asks for it."""

    amounts: Mapping[str, int]
    classes: tuple[str, ...] = (EVERY,)
    facts: Facts = field(default_factory=Facts)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of arguments that are not given


def call_use(tool: str, call_class: str, facts: Facts, arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> Use:
    """What one call uses. `schema`: JSON Schema of its arguments."""
    properties = schema.get("properties") or {}
    defaults = {
        name: each["default"] for name, each in properties.items() if isinstance(each, dict) and "default" in each
    }
    amounts = {"calls": 1, "bytes-out": len(canonical_json(dict(arguments)))}
    return Use(amounts, (EVERY, call_class, f"tool:{tool}"), facts, arguments, defaults)


def windows_for(spender: Spender, use: Use, rules: Iterable[Rule]) -> list[Window]:
    """Every window that these rules have for it, each once, with the cap in force.

    Raises CapReached: one action is too large by itself, or cannot be counted.
    """
    found: dict[tuple[str, ...], Window] = {}
    ranks: dict[tuple[str, ...], int] = {}
    for rule in sorted((rule for rule in rules if rule.call_class in use.classes), key=rank, reverse=True):
        for window in _windows(spender, use, rule):
            place, standing = window.place, ranks.setdefault(window.place, rank(rule))
            if place not in found or (rank(rule) in (-1, standing) and window.cap < found[place].cap):
                found[place] = window
    for window in found.values():
        if window.period == "action" and window.amount > window.cap:
            raise window.refusal(used=0, reserved=0, amount=window.amount)
    return [window for window in found.values() if window.period != "action" and (window.amount or window.members)]


def _windows(spender: Spender, use: Use, rule: Rule) -> Iterator[Window]:
    for unit, amount, members in _amounts(use, rule):
        for key in _keys(spender, use, rule):
            name = rule.refusal or f"budget.{rule.kind}.{rule.scope}.{rule.period}"
            yield Window(
                spender.tenant, rule.scope, key, unit, rule.call_class, rule.period, rule.cap, amount, members, name
            )


def _keys(spender: Spender, use: Use, rule: Rule) -> Iterator[str]:
    requester = None if spender.requester is None else _name(spender.requester)
    own = {"run": spender.run_id, "agent": spender.agent, "tenant": "", "requester": requester}
    keys = destinations(use) if rule.scope == "destination" else [own[rule.scope]]
    about = {rule.key}
    if rule.scope in ("requester", "destination"):  # as people write them
        about |= {_name(rule.key), _account(rule.key)}
    for key in keys:
        if key is not None and (rule.key == EVERY or key in about):
            yield key


def _name(name: str) -> str:
    """One spelling of a name: another one is no other budget."""
    return fold_text(name).strip(" .")


def _amounts(use: Use, rule: Rule) -> Iterator[tuple[str, int, tuple[str, ...] | None]]:
    """(unit with its currency, amount, members): what counts against a rule."""
    if rule.kind == "minor":
        if (money := _money(use)) is not None:
            unit = f"minor:{_currency(use)}"
            if rule.unit in ("minor", unit):
                yield unit, money, None
    elif rule.unit == "recipients":
        named = recipients(use)
        if named:
            digests = None if rule.period == "action" else tuple(sha256_hex(each)[:32] for each in named)
            yield "recipients", len(named), digests
    elif rule.unit in use.amounts:
        amount = use.amounts[rule.unit]
        if not 0 <= amount <= MOST:
            raise CapReached(f"budget.{rule.unit}", f"{amount} {rule.unit} cannot be counted; nothing was done")
        yield rule.unit, amount, None


# ── what arguments mean ─────────────────────────────────────────────────────────────────────────────────────────────


def _money(use: Use) -> int | None:
    """The sum of all amounts, in minor units; None for a tool without any. Raises CapReached."""
    names = [name for name, kind in use.facts.sensitive.items() if kind == "amount"]
    if not names:
        return None
    total = sum(_whole_number(name, value) for name in names for value in _each(_given(use, name)))
    if total > MOST:
        raise CapReached("budget.amount", f"an amount of {total} is more than can be counted; nothing was done")
    return total


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        shown = show_hidden_characters(str(value)[:SHOWN])
        raise CapReached("budget.amount", f"{name} is a whole number of minor units, 0 or more, not {shown!r}")
    return value


def _currency(use: Use) -> str:
    """The currency that a call names; NO_CURRENCY where its tool has no argument for one. Raises CapReached."""
    if "currency" not in use.arguments and "currency" not in use.defaults:
        return NO_CURRENCY
    value = _given(use, "currency")
    if value is None:
        return NO_CURRENCY
    if not isinstance(value, str) or value not in CURRENCIES:
        shown = show_hidden_characters(str(value)[:SHOWN])
        raise CapReached("budget.currency", f"currency is a code of ISO 4217 such as EUR, not {shown!r}")
    return value


def _given(use: Use, name: str) -> Any:
    return use.arguments.get(name, use.defaults.get(name))


def _each(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def recipients(use: Use) -> tuple[str, ...]:
    """Who is written to, each once, in one spelling."""
    named: dict[str, None] = {}
    for argument, kind in use.facts.sensitive.items():
        if kind == "recipient":
            for value in _each(_given(use, argument)):
                named.update(dict.fromkeys(_addresses(value)))
    return tuple(named)


def _addresses(value: Any) -> Iterable[str]:
    if value is None:
        return ()
    if isinstance(value, dict | list):
        within = dict.fromkeys(each for text in _texts(value) if "@" in text for each in _addresses(text))
        return within or [canonical_json(value)]
    text = str(value)
    try:
        return addresses_in(text)
    except ValueError:  # no mail address: a channel, a person's name, a number; or several that nobody reads alike
        apart = r"[,;]|\s+" if "@" in fold_text(text) else r"[,;]|[^\S ]+"
        return [part for each in re.split(apart, text) if (part := _name(each))]


def _texts(value: Any) -> Iterator[str]:
    """Every text within a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def destinations(use: Use) -> list[str]:
    """Where a call goes: its recipients, the hosts of its URLs, its accounts."""
    found = dict.fromkeys(recipients(use))
    for argument, kind in use.facts.sensitive.items():
        if kind in ("url", "host", "account"):
            for value in _each(_given(use, argument)):
                if value is not None:
                    found[_account(str(value)) if kind == "account" else _host(str(value), kind)] = None
    return [clipped for each in found if (clipped := each[:300])]


def _account(value: str) -> str:
    """An account by its letters and digits: people write it with blanks, hyphens or neither."""
    return re.sub(r"[\s.-]", "", fold_text(value)).upper()


def _host(value: str, kind: str) -> str:
    try:
        return place_of(value if kind == "url" else f"https://{value.strip()}/").host
    except ValueError:
        return UNREADABLE
