"""Reserves what a model call may use, before it is made: its ceiling, or that of a shorter answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from activities.agents.versions import Agents, AgentVersion
from activities.ledger.ancestor_windows import Ancestor, ancestor_windows
from activities.ledger.caps import rules_of_run, stored_rules
from activities.ledger.ledger import Ledger, naming_breaches, window_arguments
from activities.ledger.windows import CapReached, Spender, Use, Window, windows_for
from activities.model import errors
from activities.model.cost_ceiling import LEAST_OUTPUT, CostCeiling
from activities.storage.queries import Queries
from workflows.contracts.budgets import micros_to_usd

SQL = Queries(__file__, "model.sql")

# After so long a hold is looked after: the longest model call and the pauses between its attempts.
SECONDS = 1_800
TRIES = 4  # windows that have too little left, one after the other, before it is given up

# The vendor said no before it did anything, or was not reached at all: nothing can have been billed.
NOT_BILLED = (
    errors.ModelOverloaded,
    errors.ModelUnavailable,
    errors.ModelRateLimited,
    errors.ModelKeyRejected,
    errors.ModelMisconfigured,
    errors.ModelRequestRejected,
    errors.ModelUnknown,
    errors.ModelCallsForbidden,
    errors.ScriptBroken,
)


@dataclass(frozen=True)
class ModelBudget:
    """Whose budgets a model call is paid from, as the row of its run and the run's agent say."""

    spender: Spender
    budget: str  # as JSON
    caps: str | None  # rows of the table, as JSON
    agent: AgentVersion
    line: tuple[Ancestor, ...] = ()  # the runs above: what a sub-agent's model costs, they cost

    @classmethod
    async def of(cls, run_id: str, row: Any, agents: Agents) -> "ModelBudget":
        """From a row of its run, with budget, caps and the versions of the agents above. Raises StoreUnavailable."""
        spender = Spender(run_id, row["agent"], row["tenant"], row["requester"])
        above = [(await agents.version(version)).definition for version in row["versions_above"]]
        line = tuple(
            Ancestor(each, definition.name, tuple(cap.rule for cap in definition.caps))
            for each, definition in zip(row["lineage"], above, strict=True)
        )
        return cls(spender, row["budget"], row["caps"], await agents.version(row["agent_version"]), line)

    def windows(self, amounts: dict[str, int]) -> list[Window]:
        """The windows for these amounts. Raises CapReached: one call needs more than one call may use."""
        rules = rules_of_run(self.caps, self.agent.definition.caps, self.budget)
        use, stored = Use(amounts), stored_rules(self.caps)
        return [*windows_for(self.spender, use, rules), *ancestor_windows(self.spender, use, stored, self.line)]


@dataclass(frozen=True)
class NextStep:
    """A step as a worker expects it that planned the one before: the run's facts, and where the transcript ends."""

    run_id: str
    step: int
    next_seq: int
    run_digest: str
    scopes: tuple[str, str]  # of outages that the vendor may have


@dataclass(frozen=True)
class ModelReservation:
    """What was reserved for one attempt at an answer: the hold, and how many tokens the answer may have.

    `lost`: earlier attempts that may have been billed, and whose answer never arrived or could not be read.
    """

    hold: str
    output: int
    lost: int = 0


@dataclass(frozen=True)
class ModelReservations:
    """Reserves for model calls. Each attempt has a hold of its own: any of them may be billed."""

    ledger: Ledger

    async def reserve(self, what: str, purse: ModelBudget, ceiling: CostCeiling) -> ModelReservation:
        """Reserve the ceiling for an attempt at `what`, and say how long the answer may be.

        An earlier attempt that is still held got lost: the vendor may have billed its answer, so its ceiling is spent.
        Raises CapReached when there is no room for an answer; UnknownPrice; StoreUnavailable.
        """
        hold, attempts = what, 1
        while (room := await self._reserved(hold, purse, ceiling)) is None:
            await self.ledger.settle(hold)
            attempts += 1
            hold = f"{what}.{attempts}"
        return replace(room, lost=attempts - 1)

    async def _reserved(self, hold: str, purse: ModelBudget, ceiling: CostCeiling) -> ModelReservation | None:
        """The room in this hold; None if an earlier attempt has it."""
        amounts, output = ceiling.of(ceiling.most_output), ceiling.most_output
        left: dict[str, int] = {}
        for _ in range(TRIES):
            try:
                windows = purse.windows(amounts)
                held = await self.ledger.reserve(hold, purse.spender.run_id, windows, seconds=SECONDS)
            except CapReached as reached:
                left[reached.unit] = min(reached.left, left.get(reached.unit, reached.left))
                fitting = ceiling.within(left)
                if fitting is None:
                    least = ceiling.of(min(LEAST_OUTPUT, ceiling.most_output)).get(reached.unit, 0)
                    shortest = micros_to_usd(least) if reached.unit == "micro-usd" else least
                    reason = f"{reached} at most, {shortest} for the shortest answer worth asking for"
                    raise CapReached(reached.rule, reason, left=reached.left, unit=reached.unit) from None
                output, amounts = fitting, _clipped(ceiling.of(fitting), left)
                continue
            return ModelReservation(hold, output) if held is None else None
        raise CapReached("budget.contended", "what is left changes faster than it can be reserved; nothing was asked")

    async def reserve_next(self, step: NextStep, purse: ModelBudget, ceiling: CostCeiling) -> ModelReservation | None:
        """Reserve the whole ceiling for a step whose run is as this worker knows it; None if it is not, or has no room.

        Then nothing is known and nothing was done. Raises UnknownPrice, StoreUnavailable.
        """
        hold = f"{step.run_id}/step:{step.step}"
        columns = vars(step) | {"scopes": list(step.scopes)}
        with suppress(CapReached):
            windows = purse.windows(ceiling.of(ceiling.most_output))
            with naming_breaches(windows):
                row = await SQL["reserve_next"].row(
                    self.ledger.database, hold=hold, wanted=window_arguments(windows), seconds=SECONDS, **columns
                )
            if row is not None and row["held"] is None:
                return ModelReservation(hold, ceiling.most_output)
        return None

    @asynccontextmanager
    async def freed_if_refused(self, room: ModelReservation) -> AsyncIterator[None]:
        """Frees the hold if the vendor refused to answer. Every other failure may have been billed: it stays."""
        try:
            yield
        except NOT_BILLED:
            await self.ledger.release(room.hold)
            raise


def _clipped(amounts: dict[str, int], left: dict[str, int]) -> dict[str, int]:
    """What a priced call needs fits by itself; of a free one no more is held than there is."""
    return {unit: min(amount, left.get(unit, amount)) for unit, amount in amounts.items()}
