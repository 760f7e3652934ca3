"""`caps set|rm|ls`."""

import difflib
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import activities.ledger
from activities.ledger.caps import DEFAULTS, EVERY, Period, Rule, Scope, Unit, call_class, checked_rule
from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.cli.database_session import store
from workers.cli.output import Exit, fail, run, say, show, table
from workers.cli.stopping.targets import doubt
from workflows.contracts.budgets import micros_to_usd, usd_to_micros

if TYPE_CHECKING:
    from activities.agents.versions import AgentVersion
    from activities.ledger.effective_caps import EffectiveCap
    from activities.tools.facts import Effect

SQL = Queries(str(Path(activities.ledger.__path__[0]) / "ledger"), "ledger.sql")

COLUMNS = ("level", "tenant", "scope", "key", "unit", "class", "period", "at_most", "by", "at")
FORCE_COLUMNS = ("scope", "key", "unit", "class", "period", "at_most", "from", "instead_of")
USD = "usd"  # micro-usd as people write it
OPERATOR = "its operator may allow more (--tenant '*')"


def set_cap(
    tenant: str, scope: str, key: str, unit: str, call_class: str, period: str, most: str, by: str | None, as_json: bool
) -> None:
    """`stanchion caps set`."""
    cap = _amount(unit, most)
    place = _place(tenant, scope, key, unit, call_class, period)
    rule = Rule(cap=cap, level="operator" if tenant == EVERY else "tenant", **_rule(place))

    async def work() -> list[str]:
        checked_rule(rule)
        async with store() as database:
            await SQL["set_cap"].row(database, **place, cap=cap, by=by or getpass.getuser())
            return [*await _limits_nobody(database, rule), *await _overruled(database, rule, tenant)]

    for remark in run(work()):
        say(remark)
    text = f"{_words(place)}: at most {_said(rule)}, from the next call on"
    show(place | {"cap": cap}, as_json=as_json, text=text)


def remove(tenant: str, scope: str, key: str, unit: str, call_class: str, period: str, as_json: bool) -> None:
    """`stanchion caps rm`."""
    place = _place(tenant, scope, key, unit, call_class, period)

    async def work() -> Any:
        async with store() as database:
            return await SQL["unset_cap"].row(database, **place)

    if run(work()) is None:
        fail(f"there is no cap on {_words(place)}; `stanchion caps ls` lists them", Exit.USAGE)
    show(place, as_json=as_json, text=f"{_words(place)}: no cap of {tenant} any more")


def ls(tenant: str | None, agent: str | None, as_json: bool) -> None:
    """`stanchion caps ls`."""
    if agent is not None:
        return _ls_in_force(agent, tenant or "default", as_json)

    async def work() -> list[Any]:
        async with store() as database:
            return await SQL["caps_of"].rows(database, tenant=tenant)

    rows = [_row(_rule_of(row), row) for row in run(work())] + [_row(rule) for rule in DEFAULTS]
    table(rows, COLUMNS, as_json=as_json, empty="")


def _ls_in_force(agent: str, tenant: str, as_json: bool) -> None:
    """What counts for one agent in one tenant, who said so, and what was said besides."""
    from activities.agents.versions import Agents  # definitions and Cedar, which no other list needs
    from activities.ledger.effective_caps import effective_caps, rules_of_agent

    async def work() -> "tuple[AgentVersion, list[Any]]":
        async with store() as database:
            version = await Agents(database).current(agent)
            return version, await SQL["caps_of"].rows(database, tenant=tenant)

    version, rows = run(work())
    definition, by = version.definition, {_rule_of(row): row["by"] for row in rows}
    said = rules_of_agent(definition.budget, definition.caps, definition.grants)
    classes = _classes(version)
    found = sorted(
        (each for each in effective_caps([*said, *by], agent) if each.rule.call_class in classes), key=_order
    )
    if not as_json:
        say(f"what counts for {agent} in tenant {tenant}; `stanchion cost {agent} --agent` shows what is left of it")
    table([_row_in_force(each, by) for each in found], FORCE_COLUMNS, as_json=as_json, empty="")


def _classes(agent: "AgentVersion") -> set[str]:
    """The classes that calls of this agent's tools may count in; a cap on others says nothing about it."""
    known = {EVERY, *(f"tool:{tool.name}" for tool in agent.tools)}
    known |= {call_class(cast("Effect", tool.effect), tool.tier) for tool in agent.tools}
    return known | ({"reach"} if any(tool.effect == "read" and tool.acts_outside for tool in agent.tools) else set())


# ── what is remarked when a cap is set ──────────────────────────────────────────────────────────────────────────────


async def _limits_nobody(database: Database, rule: Rule) -> list[str]:
    """A cap on an agent or a tool whose name is misspelt would limit nobody."""
    doubts = [
        await doubt(database, "agent", rule.key) if rule.scope == "agent" and rule.key != EVERY else None,
        await doubt(database, "tool", rule.call_class[5:]) if rule.call_class.startswith("tool:") else None,
    ]
    return [f"for now this limits nobody: {said}" for said in doubts if said]


async def _overruled(database: Database, rule: Rule, tenant: str) -> list[str]:
    """A tenant's cap above the platform's changes nothing."""
    from activities.ledger.effective_caps import effective_caps

    if tenant == EVERY:
        return []
    others = [_rule_of(row) for row in await SQL["caps_of"].rows(database, tenant=tenant)]
    for each in effective_caps([*DEFAULTS, *others], rule.key):
        if (each.rule.scope, each.unit, each.rule.call_class, each.rule.period) != (
            rule.scope, rule.unit, rule.call_class, rule.period
        ):  # fmt: skip
            continue
        if each.rule.level in ("platform", "operator") and each.rule.cap < rule.cap:
            return [f"the platform allows {_said(each.rule)}, which is less, so that stays; {OPERATOR}"]
    return []


# ── reading what people type ────────────────────────────────────────────────────────────────────────────────────────


def _amount(unit: str, most: str) -> int:
    if unit == USD:
        try:
            return usd_to_micros(most)
        except ValueError as error:
            fail(f"{error}, not {most!r}", Exit.USAGE)
    if not (most.isascii() and most.isdecimal()):
        hint = "money of tools is in minor units (cents), of models `usd 5.00`"
        fail(f"{most!r} is no whole number such as 500; {hint}", Exit.USAGE)
    return int(most[:30])


def _place(tenant: str, scope: str, key: str, unit: str, call_class: str, period: str) -> dict[str, str]:
    unit = "micro-usd" if unit == USD else unit
    for given, what, choices in (
        (scope, "scope", get_args(Scope)),
        (unit.partition(":")[0] if unit.startswith("minor:") else unit, "unit", (*get_args(Unit), USD, "minor:EUR")),
        (period, "period", get_args(Period)),
    ):
        if given not in choices:
            close = difflib.get_close_matches(given, choices, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it is none of {', '.join(choices)}"
            fail(f"there is no {what} {given!r}; {hint}", Exit.USAGE)
    return {"tenant": tenant, "scope": scope, "key": key, "unit": unit, "class": call_class, "period": period}


def _rule(place: dict[str, str]) -> dict[str, Any]:
    return {name: place[name] for name in ("scope", "unit", "period", "key")} | {"call_class": place["class"]}


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rule_of(row: Any) -> Rule:
    place = {name: row[name] for name in ("scope", "unit", "period", "key", "class")}
    return Rule(cap=row["cap"], level="operator" if row["tenant"] == EVERY else "tenant", **_rule(place))


def _row(rule: Rule, row: Any = None) -> dict[str, Any]:
    found = dict(row) if row else {"tenant": EVERY, "by": None, "at": None}
    return {"level": rule.level, **_shown(rule), **{name: found[name] for name in ("tenant", "by", "at")}}


def _row_in_force(found: "EffectiveCap", by: dict[Rule, str]) -> dict[str, Any]:
    others = [f"{each.level} {each.cap}" for each in found.others]
    return {
        **_shown(found.rule),
        "unit": found.unit,
        "from": _source(found.rule, by),
        "instead_of": ", ".join(others) or None,
    }


def _shown(rule: Rule) -> dict[str, Any]:
    place = {"scope": rule.scope, "key": rule.key, "unit": rule.unit, "class": rule.call_class, "period": rule.period}
    return {**place, "cap": rule.cap, "at_most": _said(rule)}


def _source(rule: Rule, by: dict[Rule, str]) -> str:
    return f"{rule.level} ({by[rule]})" if rule in by else rule.level


def _order(found: "EffectiveCap") -> tuple[Any, ...]:
    scopes, rule = get_args(Scope), found.rule
    return (scopes.index(rule.scope), rule.call_class != EVERY, rule.call_class, found.unit, rule.period)


def _said(rule: Rule) -> str:
    if rule.unit == "micro-usd":
        return f"{micros_to_usd(rule.cap)} USD"
    return f"{rule.cap:,}"


def _words(place: dict[str, str]) -> str:
    of = "" if place["class"] == EVERY else f" by {place['class']} calls"
    who = f"each {place['scope']}" if place["key"] == EVERY else f"{place['scope']} {place['key']}"
    return f"{place['tenant']}: {place['unit']}{of} of {who} per {place['period']}"
