"""Finds the cap in force among all caps of a place, to show it to people and to open a run. Pure.

A place is what a cap applies to: scope, key, unit, call class and period. As in `windows_for`, the tightest cap counts
among those of the platform's highest rank and those of everyone else.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from activities.ledger.caps import DEFAULTS, EVERY, UNITS, AgentCap, Rule, budget_rules, grant_rule, rank
from activities.policy.grants.grants import Grants
from workflows.contracts.budgets import Budget, BudgetRequest, requested_caps

# Unit of the ledger -> field of a budget.
BUDGET_FIELDS = {unit: field for field, unit in UNITS.items()}


@dataclass(frozen=True)
class EffectiveCap:
    """The cap in force for one place, and the `others`, which are not.

    `unit` is that of the place. The unit of `rule` may be more general: `minor` for `minor:EUR`.
    """

    unit: str
    rule: Rule
    others: tuple[Rule, ...] = ()


def effective_caps(rules: Iterable[Rule], agent: str) -> list[EffectiveCap]:
    """For each place that these rules limit for this agent, the cap in force."""
    relevant = [rule for rule in rules if rule.scope != "agent" or rule.key in (EVERY, agent)]
    places = dict.fromkeys(_place(rule) for rule in relevant)
    return [_choose(place[2], [rule for rule in relevant if _applies_to(rule, place)]) for place in places]


def rules_of_agent(budget: BudgetRequest, caps: Iterable[AgentCap], grants: Grants | None) -> list[Rule]:
    """The rules of an agent: defaults, its budget, its caps and its grants.

    Fields of the budget that its definition leaves out have the platform's values.
    """
    own_budget = requested_caps(budget)
    budgets = [
        Rule(**{**vars(rule), "level": "agent" if BUDGET_FIELDS[rule.unit] in own_budget else "platform"})
        for rule in budget_rules(Budget().model_copy(update=own_budget))
    ]
    daily = {name: [one.per_day for one in granted if one.per_day] for name, granted in (grants or {}).items()}
    of_grants = [grant_rule(name, max(caps_of_one)) for name, caps_of_one in daily.items() if caps_of_one]
    return [*DEFAULTS, *budgets, *(cap.rule for cap in caps), *of_grants]


def default_budget(rules: Iterable[Rule]) -> Budget:
    """The budget of a run whose agent defines none: the platform's default, as changed by its operator."""
    caps = {each.rule.unit: each.rule.cap for each in effective_caps(filter(_is_operators, _run_rules(rules)), "")}
    return Budget().model_copy(update={field: caps[unit] for unit, field in BUDGET_FIELDS.items() if unit in caps})


def budget_within(budget: Budget, rules: Iterable[Rule]) -> Budget:
    """The budget, lowered to what platform, tenant and agent allow any run."""
    caps = {each.rule.unit: each.rule.cap for each in effective_caps([*_run_rules(rules), *budget_rules(budget)], "")}
    return budget.model_copy(update={field: caps[unit] for unit, field in BUDGET_FIELDS.items()})


def _run_rules(rules: Iterable[Rule]) -> list[Rule]:
    """The rules that limit every run as a whole."""
    return [
        rule for rule in rules if (rule.scope, rule.period, rule.call_class, rule.key) == ("run", "run", EVERY, EVERY)
    ]


def _is_operators(rule: Rule) -> bool:
    return rule.level == "operator"


def _place(rule: Rule) -> tuple[str, ...]:
    key = EVERY if rule.scope in ("agent", "tenant") else rule.key
    return (rule.scope, key, rule.unit, rule.call_class, rule.period)


def _applies_to(rule: Rule, place: tuple[str, ...]) -> bool:
    scope, key, unit, call_class, period = place
    if (rule.scope, rule.call_class, rule.period) != (scope, call_class, period):
        return False
    key_matches = rule.scope in ("agent", "tenant") or rule.key in (EVERY, key)
    return key_matches and rule.unit in (unit, unit.partition(":")[0])


def _choose(unit: str, rules: list[Rule]) -> EffectiveCap:
    highest = max(map(rank, rules))
    chosen = min((rule for rule in rules if rank(rule) in (-1, highest)), key=lambda rule: rule.cap)
    return EffectiveCap(unit, chosen, tuple(rule for rule in rules if rule is not chosen))
