"""`caps set|rm|ls`."""

import getpass
from typing import Any, get_args

from activities.ledger.caps import DEFAULTS, EVERY, Period, Rule, Scope, Unit, checked
from activities.ledger.ledger import SQL
from workers.cli.opened import session
from workers.cli.output import Exit, fail, run, say, show, table

COLUMNS = ("level", "tenant", "scope", "key", "unit", "class", "period", "cap", "by", "at")


def set_cap(
    tenant: str, scope: str, key: str, unit: str, call_class: str, period: str, most: int, by: str | None, as_json: bool
) -> None:
    """`stanchion caps set`."""
    place = _place(tenant, scope, key, unit, call_class, period)

    async def work() -> None:
        checked(Rule(cap=most, **_rule(place)))
        async with session() as opened:
            await SQL["set_cap"].row(opened.database, **place, cap=most, by=by or getpass.getuser())

    run(work())
    wider = [rule for rule in DEFAULTS if _same(rule, place) and most > rule.cap and tenant != EVERY]
    for rule in wider:
        say(f"the platform allows {rule.cap}, which is less, so that stays; its operator may allow more (--tenant '*')")
    show(place | {"cap": most}, as_json=as_json, text=f"{_words(place)}: at most {most}, from the next call on")


def remove(tenant: str, scope: str, key: str, unit: str, call_class: str, period: str, as_json: bool) -> None:
    """`stanchion caps rm`."""
    place = _place(tenant, scope, key, unit, call_class, period)

    async def work() -> Any:
        async with session() as opened:
            return await SQL["unset_cap"].row(opened.database, **place)

    if run(work()) is None:
        fail(f"there is no cap on {_words(place)}; `stanchion caps ls` lists them", Exit.USAGE)
    show(place, as_json=as_json, text=f"{_words(place)}: no cap of {tenant} any more")


def ls(tenant: str | None, as_json: bool) -> None:
    """`stanchion caps ls`."""

    async def work() -> list[Any]:
        async with session() as opened:
            return await SQL["caps_of"].rows(opened.database, tenant=tenant)

    rows = [dict(row) | {"level": "operator" if row["tenant"] == EVERY else "tenant"} for row in run(work())]
    table([*rows, *map(_default, DEFAULTS)], COLUMNS, as_json=as_json, empty="")


def _default(rule: Rule) -> dict[str, Any]:
    place = {"scope": rule.scope, "key": rule.key, "unit": rule.unit, "class": rule.call_class, "period": rule.period}
    return {"level": "platform", "tenant": EVERY, **place, "cap": rule.cap, "by": None, "at": None}


def _place(tenant: str, scope: str, key: str, unit: str, call_class: str, period: str) -> dict[str, str]:
    for given, choices in ((scope, Scope), (unit, Unit), (period, Period)):
        if given not in get_args(choices):
            fail(f"{given!r} is none of {', '.join(get_args(choices))}", Exit.USAGE)
    return {"tenant": tenant, "scope": scope, "key": key, "unit": unit, "class": call_class, "period": period}


def _rule(place: dict[str, str]) -> dict[str, Any]:
    return {name: place[name] for name in ("scope", "unit", "period", "key")} | {"call_class": place["class"]}


def _same(rule: Rule, place: dict[str, str]) -> bool:
    return _rule(place) | {"key": EVERY} == {name: getattr(rule, name) for name in _rule(place)}


def _words(place: dict[str, str]) -> str:
    of = "" if place["class"] == EVERY else f" by {place['class']} calls"
    who = f"each {place['scope']}" if place["key"] == EVERY else f"{place['scope']} {place['key']}"
    return f"{place['tenant']}: {place['unit']}{of} of {who} per {place['period']}"
