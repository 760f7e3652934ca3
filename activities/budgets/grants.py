"""Budget grants: a person adds to the budget of a run. The only writer of budget grants.

A grant needs proof of who gives it, over a statement that names the run and every amount. Its id makes it idempotent.
It only adds, and only to the run's own budget: all caps of the run's tenant, agent and platform stay in force.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, model_validator

from activities.agents.versions import Agents
from activities.approvals.authority import Authority, Identified
from activities.approvals.signed_orders import Order
from activities.budgets.alarms import SQL
from activities.errors import Permanent
from activities.identity.proof import canonical_name
from activities.ledger.caps import DEFAULTS, UNITS, Rule, budget_rules, stored_rules
from activities.ledger.ledger import naming_breaches, window_arguments
from activities.ledger.windows import CapReached, Spender, Use, Window, windows_for
from activities.runs.open_run_windows import SECONDS
from activities.storage.canonical import canonical_json, clean_text
from activities.storage.database import Database
from activities.storage.trace import Trace
from workflows.contracts.budgets import Budget, Count, Usd, micros_to_usd, usd_to_micros
from workflows.contracts.events import BudgetGranted

# The most that one grant may add; more is taken for a typing error. The table's CHECK constraints have the same values.
MOST = {"usd_micros": 1_000_000_000, "tokens": 100_000_000, "tool_calls": 10_000, "minutes": 10_080, "steps": 10_000}

# The most that the requester of a run may add to it in all: the platform's default budget. By starting another run the
# requester would get the same.
BY_REQUESTER = {name: getattr(Budget(), name) for name in MOST}


class GrantRefused(Permanent):
    """The grant is refused; nothing was added."""


def new_grant_id() -> str:
    """A random id for a grant."""
    return f"grant-{secrets.token_hex(4)}"


class Grant(Order):
    """An order to add to the budget of a run."""

    grant_id: str = Field(default_factory=new_grant_id, min_length=1, max_length=200, pattern=r"^[\w.-]+$")
    run_id: str = Field(min_length=1, max_length=1_000)
    usd: Usd = "0.00"
    tokens: Count = 0
    tool_calls: Count = 0
    minutes: Count = 0
    steps: Count = 0
    reason: str = Field(default="", max_length=2_000)

    @model_validator(mode="after")
    def _adds_something(self) -> "Grant":
        if not any(self.added.values()):
            raise ValueError("a grant adds something: usd, tokens, tool_calls, minutes or steps")
        if large := [name for name, amount in self.added.items() if amount > MOST[name]]:
            most = {name: micros_to_usd(n) if name == "usd_micros" else n for name, n in MOST.items()}
            raise ValueError("one grant adds at most " + ", ".join(f"{most[n]} {n.split('_micros')[0]}" for n in large))
        return self

    @property
    def added(self) -> dict[str, int]:
        """The amounts that it adds, in the units of `Budget`."""
        counts = {name: getattr(self, name) for name in ("tokens", "tool_calls", "minutes", "steps")}
        return {"usd_micros": usd_to_micros(self.usd), **counts}

    def signed_fields(self) -> Mapping[str, Any]:
        """The signed statement: it names the run and every amount, so that it is valid for nothing else."""
        return {"kind": "grant", "grant_id": self.grant_id, "run_id": self.run_id, **self.added, "reason": self.reason}


@dataclass(frozen=True)
class GrantGiven:
    """An accepted grant. `again`: it was given before, and nothing was added now."""

    grant: Grant
    budget: Budget
    proof: str
    again: bool = False


@dataclass
class Grants:
    """Stores budget grants."""

    database: Database
    authority: Authority
    _agents: Agents = field(init=False)

    def __post_init__(self) -> None:
        self._agents = Agents(self.database)

    async def give(self, grant: Grant) -> GrantGiven:
        """Add to the budget of a run, once. Raises GrantRefused, StoreUnavailable."""
        run: Any = await SQL["run"].row(self.database, run_id=grant.run_id)
        if run is None:
            raise GrantRefused(f"there is no run {grant.run_id!r}")
        who = await self._verify_giver(grant, run)
        is_requester = run["requester"] is not None and canonical_name(who.name) == canonical_name(run["requester"])
        try:
            windows = await self._windows(grant, run)
            with naming_breaches(windows):
                row: Any = await SQL["grant"].row(self.database, **_sql_arguments(grant, who, is_requester, windows))
        except CapReached as reached:
            raise GrantRefused(f"{reached.rule}: {reached}; a grant widens the run's own budget only") from None
        if why := _refusal_reason(row["outcome"], grant):
            raise GrantRefused(why)
        given = row["outcome"] == "given"
        if given:
            _trace(grant, who).emit()
        return GrantGiven(grant, Budget.model_validate_json(row["budget"]), who.proof, again=not given)

    async def _verify_giver(self, grant: Grant, run: Any) -> Identified:
        who = await grant.identify_author(self.authority, run["tenant"], run["opened_at"])
        if isinstance(who, Identified):
            return who
        raise GrantRefused(f"{grant.by} cannot add to the budget of {grant.run_id}: {who.reason}")

    async def _windows(self, grant: Grant, run: Any) -> list[Window]:
        """The windows to reserve the added minutes from.

        Raises CapReached if the new budget exceeds a cap that others set for each run.
        """
        agent = await self._agents.version(run["agent_version"])
        spender = Spender(run["run_id"], run["agent"], run["tenant"], run["requester"])
        budget = _raised_budget(Budget.model_validate_json(run["budget"]), grant)
        others = [*DEFAULTS, *stored_rules(run["caps"]), *(cap.rule for cap in agent.definition.caps)]
        for name, unit in UNITS.items():
            if grant.added[name]:
                _check_run_caps(spender, unit, budget.cap_of(name.removesuffix("_micros")), others)
        return windows_for(spender, Use({"minutes": grant.minutes}), [*others, *budget_rules(budget)])


def _check_run_caps(spender: Spender, unit: str, most: int, rules: list[Rule]) -> None:
    """Raise CapReached if a cap for each run is below `most`: the added amount could never be used."""
    for window in windows_for(spender, Use({unit: 1}), [rule for rule in rules if rule.period == "run"]):
        if window.cap < most:
            reason = f"at most {micros_to_usd(window.cap) if unit == 'micro-usd' else window.cap} {window.unit} a run"
            raise CapReached(window.rule, f"{reason} are allowed here, and the new budget is larger")


def _raised_budget(budget: Budget, grant: Grant) -> Budget:
    return budget.model_copy(update={name: getattr(budget, name) + more for name, more in grant.added.items()})


def _sql_arguments(grant: Grant, who: Identified, is_requester: bool, windows: list[Window]) -> dict[str, Any]:
    trace = _trace(grant, who).columns
    return {
        "grant_id": grant.grant_id,
        "run_id": grant.run_id,
        "added": canonical_json(grant.added),
        "by": who.name,
        "reason": clean_text(grant.reason),
        **grant.proof_columns(who),
        "most": canonical_json(BY_REQUESTER) if is_requester else None,
        "wanted": window_arguments(windows),
        "hold_seconds": float(SECONDS),
        **trace,
    }


def _trace(grant: Grant, who: Identified) -> Trace:
    added = {name: amount for name, amount in grant.added.items() if amount}
    return Trace(grant.run_id, (BudgetGranted(grant_id=grant.grant_id, by=who.name, proof=who.proof, added=added),))


def _refusal_reason(outcome: str, grant: Grant) -> str | None:
    match outcome:
        case "closed":
            return f"{grant.run_id} is over, or ends when its budget is used up: nothing can be added to it"
        case "taken":
            return f"{grant.grant_id} is another grant already; nothing was added"
        case "above":
            most = f"{micros_to_usd(BY_REQUESTER['usd_micros'])} USD" + "".join(
                f", {most} {name.replace('_', ' ')}" for name, most in BY_REQUESTER.items() if name != "usd_micros"
            )
            return f"the requester of a run may add {most} to it in all; someone else has to add more"
        case _:
            return None
