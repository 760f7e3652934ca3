"""Finds the cap that counts among all that were set, for people and for a run that opens. Pure.

The same choice as `windows_for` makes for one call: the platform's highest rank, and whoever is tighter.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from activities.ledger.caps import DEFAULTS, EVERY, UNITS, AgentCap, Rule, budget_rules, grant_rule, rank
from activities.policy.grants.grants import Grants
from workflows.contracts.budgets import Budget, BudgetRequest, requested_caps

# The fields of a budget by the unit that the ledger counts them in.
BUDGET_FIELDS = {unit: field for field, unit in UNITS.items()}


@dataclass(frozen=True)
class EffectiveCap:
    """The cap that counts in one place, and those that were said and do not. `unit` is that of the place: what is said
    of each currency may be what counts for one of them.
    """

    unit: str
    rule: Rule
    others: tuple[Rule, ...] = ()


def effective_caps(rules: Iterable[Rule], agent: str) -> list[EffectiveCap]:
    """For each place that one of these rules has for this agent, the one that counts there."""
    heard = [rule for rule in rules if rule.scope != "agent" or rule.key in (EVERY, agent)]
    places = dict.fromkeys(_place(rule) for rule in heard)
    return [_chosen(place[2], [rule for rule in heard if _speaks_about(rule, place)]) for place in places]


def rules_of_agent(budget: BudgetRequest, caps: Iterable[AgentCap], grants: Grants | None) -> list[Rule]:
    """What the definition of an agent says, and the platform's budget where it says nothing."""
    said = requested_caps(budget)
    budgets = [
        Rule(**{**vars(rule), "level": "agent" if BUDGET_FIELDS[rule.unit] in said else "platform"})
        for rule in budget_rules(Budget().model_copy(update=said))
    ]
    daily = {name: [one.per_day for one in granted if one.per_day] for name, granted in (grants or {}).items()}
    of_grants = [grant_rule(name, max(caps_of_one)) for name, caps_of_one in daily.items() if caps_of_one]
    return [*DEFAULTS, *budgets, *(cap.rule for cap in caps), *of_grants]


def default_budget(rules: Iterable[Rule]) -> Budget:
    """What a run gets whose agent says nothing: the platform's default, or what its operator put in the place of it."""
    said = {each.rule.unit: each.rule.cap for each in effective_caps(filter(_is_operators, _of_runs(rules)), "")}
    return Budget().model_copy(update={field: said[unit] for unit, field in BUDGET_FIELDS.items() if unit in said})


def budget_within(budget: Budget, rules: Iterable[Rule]) -> Budget:
    """The budget of a run, with what platform, tenant and agent allow of any run: never more than it was."""
    caps = {each.rule.unit: each.rule.cap for each in effective_caps([*_of_runs(rules), *budget_rules(budget)], "")}
    return budget.model_copy(update={field: caps[unit] for unit, field in BUDGET_FIELDS.items()})


def _of_runs(rules: Iterable[Rule]) -> list[Rule]:
    """Those about any run as a whole."""
    return [
        rule for rule in rules if (rule.scope, rule.period, rule.call_class, rule.key) == ("run", "run", EVERY, EVERY)
    ]


def _is_operators(rule: Rule) -> bool:
    return rule.level == "operator"


def _place(rule: Rule) -> tuple[str, ...]:
    key = EVERY if rule.scope in ("agent", "tenant") else rule.key
    return (rule.scope, key, rule.unit, rule.call_class, rule.period)


def _speaks_about(rule: Rule, place: tuple[str, ...]) -> bool:
    scope, key, unit, call_class, period = place
    if (rule.scope, rule.call_class, rule.period) != (scope, call_class, period):
        return False
    about_key = rule.scope in ("agent", "tenant") or rule.key in (EVERY, key)
    return about_key and rule.unit in (unit, unit.partition(":")[0])


def _chosen(unit: str, rules: list[Rule]) -> EffectiveCap:
    highest = max(map(rank, rules))
    chosen = min((rule for rule in rules if rank(rule) in (-1, highest)), key=lambda rule: rule.cap)
    return EffectiveCap(unit, chosen, tuple(rule for rule in rules if rule is not chosen))
