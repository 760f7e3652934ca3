"""Which of all caps counts: as one call finds it, and nobody but the platform's operator ever widens one."""

from hypothesis import given
from hypothesis import strategies as st

from activities.ledger.caps import DEFAULTS, EVERY, AgentCap, Rule, budget_rules
from activities.ledger.effective_caps import (
    BUDGET_FIELDS,
    budget_within,
    default_budget,
    effective_caps,
    rules_of_agent,
)
from activities.ledger.windows import Spender, Use, call_use, windows_for
from activities.policy.grants.grants import parse_grants
from activities.tools.facts import Facts
from workflows.contracts.budgets import Budget, BudgetRequest

BUYER = Spender("agent/buyer/1", "buyer", "acme", "ana@acme.example")
PAY = Facts(effect="money", sensitive={"amount": "amount"})
SCHEMA = {"properties": {"amount": {}, "currency": {}}}

levels = st.sampled_from(("platform", "operator", "tenant", "agent", "grant", "request"))
rules = st.builds(
    Rule,
    scope=st.sampled_from(("run", "agent", "tenant")),
    unit=st.sampled_from(("calls", "minor", "minor:EUR", "minor:JPY")),
    period=st.sampled_from(("day", "run")),
    cap=st.integers(1, 9),
    call_class=st.sampled_from((EVERY, "money", "tool:pay")),
    key=st.sampled_from((EVERY, "buyer", "seller")),
    level=levels,
).filter(lambda rule: rule.scope == "agent" or rule.key == EVERY)
many = st.lists(rules, max_size=8)
run_rules = st.lists(
    st.builds(
        Rule,
        scope=st.just("run"),
        unit=st.sampled_from(tuple(BUDGET_FIELDS)),
        period=st.just("run"),
        cap=st.integers(0, 10**7),
        level=st.sampled_from(("operator", "tenant")),
    ),
    max_size=6,
)


def of_one_call(said: list[Rule], currency: str = "EUR") -> dict[tuple[str, ...], int]:
    """Where the caps of one payment of one cent are counted, and how high they are."""
    arguments = {"amount": 1, "currency": currency}
    found = windows_for(BUYER, call_use("pay", "money", PAY, arguments, SCHEMA), said)
    return {(each.scope, each.unit, each.call_class, each.period): each.cap for each in found}


def listed(said: list[Rule], currency: str) -> dict[tuple[str, ...], int]:
    """The same, as it is listed for people: of a currency that nobody named, what is said of each counts."""
    caps: dict[tuple[str, ...], int] = {}
    for each in sorted(effective_caps(said, "buyer"), key=lambda each: ":" in each.unit):
        unit = f"minor:{currency}" if each.unit == "minor" else each.unit
        if unit in ("calls", f"minor:{currency}"):
            caps[(each.rule.scope, unit, each.rule.call_class, each.rule.period)] = each.rule.cap
    return caps


@given(said=many)
def test_what_is_listed_for_an_agent_is_what_its_next_call_finds(said: list[Rule]) -> None:
    for currency in ("EUR", "JPY", "CHF"):
        assert listed(said, currency) == of_one_call(said, currency)


@given(said=many, one=rules)
def test_one_more_cap_of_anyone_but_the_platform_tightens_or_changes_nothing(said: list[Rule], one: Rule) -> None:
    before, after = of_one_call(said), of_one_call([*said, one])
    if one.level not in ("platform", "operator"):
        assert all(after[place] <= cap for place, cap in before.items())
    assert set(before) <= set(after)


@given(said=many)
def test_the_cap_that_counts_is_no_higher_than_any_that_only_tightens(said: list[Rule]) -> None:
    for each in effective_caps(said, "buyer"):
        assert all(each.rule.cap <= o.cap for o in each.others if o.level not in ("platform", "operator"))


def test_the_operator_may_say_more_of_one_currency_than_of_the_others() -> None:
    daily = {"scope": "agent", "period": "day", "call_class": "money"}
    said = [
        *DEFAULTS,
        Rule(unit="minor", cap=2_000_000, level="operator", **daily),  # type: ignore[arg-type]
        Rule(unit="minor:JPY", cap=700_000_000, level="operator", **daily),  # type: ignore[arg-type]
    ]
    assert of_one_call(said, "JPY")[("agent", "minor:JPY", "money", "day")] == 700_000_000
    assert of_one_call(said, "EUR")[("agent", "minor:EUR", "money", "day")] == 2_000_000
    tenant = Rule(unit="minor", cap=5, level="tenant", **daily)  # type: ignore[arg-type]
    assert of_one_call([*said, tenant], "JPY")[("agent", "minor:JPY", "money", "day")] == 5


def test_a_currency_that_nobody_named_has_the_caps_of_each_currency() -> None:
    assert of_one_call(list(DEFAULTS), "ISK") == {
        (scope, unit.replace("EUR", "ISK"), call_class, period): cap
        for (scope, unit, call_class, period), cap in of_one_call(list(DEFAULTS), "EUR").items()
    }


# ── budgets of runs ─────────────────────────────────────────────────────────────────────────────────────────────────


@given(said=run_rules, share=st.integers(0, 100))
def test_a_runs_budget_is_within_every_cap_on_runs_and_never_more_than_was_asked(said: list[Rule], share: int) -> None:
    asked = Budget(**{name: getattr(Budget(), name) * share // 100 for name in BUDGET_FIELDS.values()})
    within = budget_within(asked, said)
    for unit, name in BUDGET_FIELDS.items():
        assert getattr(within, name) <= getattr(asked, name)
        tenants = [rule.cap for rule in said if rule.unit == unit and rule.level == "tenant"]
        assert all(getattr(within, name) <= cap for cap in tenants)
    assert within.steps == asked.steps


@given(said=run_rules)
def test_a_run_is_opened_with_what_its_windows_will_allow(said: list[Rule]) -> None:
    """Not a call more and not one less: what people see of a run's budget is what stops it."""
    budget = budget_within(Budget(), said)
    windows = windows_for(BUYER, Use({"calls": 1, "tokens": 1, "micro-usd": 1}), [*said, *budget_rules(Budget())])
    found = {each.unit: each.cap for each in windows if each.scope == "run"}
    assert found == {unit: getattr(budget, BUDGET_FIELDS[unit]) for unit in found}


@given(said=run_rules)
def test_an_operators_cap_on_runs_is_the_default_of_agents_that_say_nothing(said: list[Rule]) -> None:
    default = default_budget(said)
    for unit, name in BUDGET_FIELDS.items():
        own = [rule.cap for rule in said if rule.unit == unit and rule.level == "operator"]
        assert getattr(default, name) == (min(own) if own else getattr(Budget(), name))


def test_a_cap_on_some_calls_of_a_run_is_no_budget_of_all() -> None:
    some = [Rule("run", "calls", "run", 3, "send", level="tenant"), Rule("agent", "calls", "day", 3, level="tenant")]
    assert budget_within(Budget(), some) == Budget()


def test_the_defaults_are_those_that_the_documentation_names() -> None:
    assert Budget() == Budget(usd_micros=1_000_000, tokens=200_000, tool_calls=20, minutes=30, steps=50)


# ── what an agent's definition says ─────────────────────────────────────────────────────────────────────────────────


def test_each_cap_is_listed_with_who_said_it_and_what_it_is_instead_of() -> None:
    tenant = Rule("agent", "minor", "day", 9_000_000, "money", level="tenant")
    said = rules_of_agent(
        BudgetRequest(tool_calls=7),
        [AgentCap(unit="minor", per="day", most=400, calls="money")],
        parse_grants({"pay": [{"per_day": 3}, {"per_day": 5}], "look": {}}),
    )
    found = {
        (e.rule.scope, e.rule.unit, e.rule.call_class, e.rule.period): e
        for e in effective_caps([*said, tenant], "buyer")
    }
    daily = found[("agent", "minor", "money", "day")]
    assert (daily.rule.cap, daily.rule.level) == (400, "agent")
    assert {(other.level, other.cap) for other in daily.others} == {("platform", 5_000_000), ("tenant", 9_000_000)}
    calls, tokens = found[("run", "calls", EVERY, "run")].rule, found[("run", "tokens", EVERY, "run")].rule
    assert (calls.cap, calls.level, tokens.cap, tokens.level) == (7, "agent", 200_000, "platform")
    assert found[("agent", "calls", "tool:pay", "day")].rule.cap == 5
