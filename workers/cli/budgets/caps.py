"""The bodies of `caps set`, `caps rm` and `caps ls`."""

import difflib
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import activities.ledger
from activities.ledger.caps import DEFAULTS, EVERY, Period, Rule, Scope, Unit, call_class, checked_rule
from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.cli.database_session import open_database
from workers.cli.output import Exit, fail, run, say, show, table
from workers.cli.stopping.targets import typo_warning
from workflows.contracts.budgets import micros_to_usd, usd_to_micros

if TYPE_CHECKING:
    from activities.agents.versions import AgentVersion
    from activities.ledger.effective_caps import EffectiveCap
    from activities.tools.facts import Effect

SQL = Queries(str(Path(activities.ledger.__path__[0]) / "ledger"), "ledger.sql")

COLUMNS = ("level", "tenant", "scope", "key", "unit", "class", "period", "at_most", "by", "at")
EFFECTIVE_COLUMNS = ("scope", "key", "unit", "class", "period", "at_most", "from", "instead_of")
USD = "usd"  # typed by people, converted to micro-usd
OPERATOR = "its operator may allow more (--tenant '*')"


def set_cap(
    tenant: str, scope: str, key: str, unit: str, call_class: str, period: str, most: str, by: str | None, as_json: bool
) -> None:
    """`stanchion caps set`: stores the cap, and warns if it has no effect."""
    cap = _parse_amount(unit, most)
    cap_key = _parse_cap_key(tenant, scope, key, unit, call_class, period)
    rule = Rule(cap=cap, level="operator" if tenant == EVERY else "tenant", **_rule_fields(cap_key))

    async def work() -> list[str]:
        checked_rule(rule)
        async with open_database() as database:
            await SQL["set_cap"].row(database, **cap_key, cap=cap, by=by or getpass.getuser())
            return [*await _typo_warnings(database, rule), *await _overruled_warnings(database, rule, tenant)]

    for warning in run(work()):
        say(warning)
    text = f"{_describe_cap_key(cap_key)}: at most {_format_cap(rule)}, from the next call on"
    show(cap_key | {"cap": cap}, as_json=as_json, text=text)


def remove(tenant: str, scope: str, key: str, unit: str, call_class: str, period: str, as_json: bool) -> None:
    """`stanchion caps rm`."""
    cap_key = _parse_cap_key(tenant, scope, key, unit, call_class, period)

    async def work() -> Any:
        async with open_database() as database:
            return await SQL["unset_cap"].row(database, **cap_key)

    if run(work()) is None:
        fail(f"there is no cap on {_describe_cap_key(cap_key)}; `stanchion caps ls` lists them", Exit.USAGE)
    show(cap_key, as_json=as_json, text=f"{_describe_cap_key(cap_key)}: the cap of {tenant} is removed")


def ls(tenant: str | None, agent: str | None, as_json: bool) -> None:
    """`stanchion caps ls`: lists the caps that were set, or the effective caps of one agent."""
    if agent is not None:
        return _list_effective(agent, tenant or "default", as_json)

    async def work() -> list[Any]:
        async with open_database() as database:
            return await SQL["caps_of"].rows(database, tenant=tenant)

    rows = [_cap_row(_rule_of(row), row) for row in run(work())] + [_cap_row(rule) for rule in DEFAULTS]
    table(rows, COLUMNS, as_json=as_json, empty="")


def _list_effective(agent: str, tenant: str, as_json: bool) -> None:
    """Print the effective caps of one agent in one tenant: who set each, and the weaker caps that it replaces."""
    # Imported here because they are slow to import: they import Cedar.
    from activities.agents.versions import Agents
    from activities.ledger.effective_caps import effective_caps, rules_of_agent

    async def work() -> "tuple[AgentVersion, list[Any]]":
        async with open_database() as database:
            version = await Agents(database).current(agent)
            return version, await SQL["caps_of"].rows(database, tenant=tenant)

    version, rows = run(work())
    definition, set_by = version.definition, {_rule_of(row): row["by"] for row in rows}
    agent_rules = rules_of_agent(definition.budget, definition.caps, definition.grants)
    classes = _call_classes(version)
    caps = [cap for cap in effective_caps([*agent_rules, *set_by], agent) if cap.rule.call_class in classes]
    if not as_json:
        say(f"caps in force for {agent} in tenant {tenant}; `stanchion cost {agent} --agent` shows what is left")
    rows_in_force = [_effective_row(cap, set_by) for cap in sorted(caps, key=_sort_key)]
    table(rows_in_force, EFFECTIVE_COLUMNS, as_json=as_json, empty="")


def _call_classes(agent: "AgentVersion") -> set[str]:
    """Return the classes that calls of this agent's tools can belong to. Caps on other classes do not affect it."""
    classes = {EVERY, *(f"tool:{tool.name}" for tool in agent.tools)}
    classes |= {call_class(cast("Effect", tool.effect), tool.tier) for tool in agent.tools}
    has_reach = any(tool.effect == "read" and tool.acts_outside for tool in agent.tools)
    return classes | ({"reach"} if has_reach else set())


# ── warnings about a new cap ────────────────────────────────────────────────────────────────────────────────────────


async def _typo_warnings(database: Database, rule: Rule) -> list[str]:
    """Warn if the cap is on an agent or a tool that does not exist: the name may be misspelt."""
    warnings = [
        await typo_warning(database, "agent", rule.key) if rule.scope == "agent" and rule.key != EVERY else None,
        await typo_warning(database, "tool", rule.call_class[5:]) if rule.call_class.startswith("tool:") else None,
    ]
    return [f"for now this limits nobody: {warning}" for warning in warnings if warning]


async def _overruled_warnings(database: Database, rule: Rule, tenant: str) -> list[str]:
    """Warn if the platform's cap is lower than this cap of a tenant, which then has no effect."""
    from activities.ledger.effective_caps import effective_caps

    if tenant == EVERY:
        return []
    stored = [_rule_of(row) for row in await SQL["caps_of"].rows(database, tenant=tenant)]
    for effective in effective_caps([*DEFAULTS, *stored], rule.key):
        if (effective.rule.scope, effective.unit, effective.rule.call_class, effective.rule.period) != (
            rule.scope, rule.unit, rule.call_class, rule.period
        ):  # fmt: skip
            continue
        if effective.rule.level in ("platform", "operator") and effective.rule.cap < rule.cap:
            return [f"the platform allows only {_format_cap(effective.rule)}, so this has no effect; {OPERATOR}"]
    return []


# ── parsing arguments ───────────────────────────────────────────────────────────────────────────────────────────────


def _parse_amount(unit: str, most: str) -> int:
    if unit == USD:
        try:
            return usd_to_micros(most)
        except ValueError as error:
            fail(f"{error}, not {most!r}", Exit.USAGE)
    if not (most.isascii() and most.isdecimal()):
        hint = "money of tools is in minor units (cents), of models `usd 5.00`"
        fail(f"{most!r} is no whole number such as 500; {hint}", Exit.USAGE)
    return int(most[:30])


def _parse_cap_key(tenant: str, scope: str, key: str, unit: str, call_class: str, period: str) -> dict[str, str]:
    """Return the key columns of a cap. Exits with a usage error if scope, unit or period does not exist."""
    unit = "micro-usd" if unit == USD else unit
    for value, kind, choices in (
        (scope, "scope", get_args(Scope)),
        (unit.partition(":")[0] if unit.startswith("minor:") else unit, "unit", (*get_args(Unit), USD, "minor:EUR")),
        (period, "period", get_args(Period)),
    ):
        if value not in choices:
            close = difflib.get_close_matches(value, choices, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it is none of {', '.join(choices)}"
            fail(f"there is no {kind} {value!r}; {hint}", Exit.USAGE)
    return {"tenant": tenant, "scope": scope, "key": key, "unit": unit, "class": call_class, "period": period}


def _rule_fields(cap_key: dict[str, str]) -> dict[str, Any]:
    return {name: cap_key[name] for name in ("scope", "unit", "period", "key")} | {"call_class": cap_key["class"]}


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rule_of(row: Any) -> Rule:
    cap_key = {name: row[name] for name in ("scope", "unit", "period", "key", "class")}
    return Rule(cap=row["cap"], level="operator" if row["tenant"] == EVERY else "tenant", **_rule_fields(cap_key))


def _cap_row(rule: Rule, row: Any = None) -> dict[str, Any]:
    stored = dict(row) if row else {"tenant": EVERY, "by": None, "at": None}
    return {"level": rule.level, **_cap_columns(rule), **{name: stored[name] for name in ("tenant", "by", "at")}}


def _effective_row(cap: "EffectiveCap", set_by: dict[Rule, str]) -> dict[str, Any]:
    others = [f"{rule.level} {rule.cap}" for rule in cap.others]
    return {
        **_cap_columns(cap.rule),
        "unit": cap.unit,
        "from": _source_text(cap.rule, set_by),
        "instead_of": ", ".join(others) or None,
    }


def _cap_columns(rule: Rule) -> dict[str, Any]:
    cap_key = {"scope": rule.scope, "key": rule.key, "unit": rule.unit, "class": rule.call_class, "period": rule.period}
    return {**cap_key, "cap": rule.cap, "at_most": _format_cap(rule)}


def _source_text(rule: Rule, set_by: dict[Rule, str]) -> str:
    return f"{rule.level} ({set_by[rule]})" if rule in set_by else rule.level


def _sort_key(cap: "EffectiveCap") -> tuple[Any, ...]:
    scopes, rule = get_args(Scope), cap.rule
    return (scopes.index(rule.scope), rule.call_class != EVERY, rule.call_class, cap.unit, rule.period)


def _format_cap(rule: Rule) -> str:
    if rule.unit == "micro-usd":
        return f"{micros_to_usd(rule.cap)} USD"
    return f"{rule.cap:,}"


def _describe_cap_key(cap_key: dict[str, str]) -> str:
    calls = "" if cap_key["class"] == EVERY else f" by {cap_key['class']} calls"
    owner = f"each {cap_key['scope']}" if cap_key["key"] == EVERY else f"{cap_key['scope']} {cap_key['key']}"
    return f"{cap_key['tenant']}: {cap_key['unit']}{calls} of {owner} per {cap_key['period']}"
