"""Ports: the activities that the workflow calls, by name and type. Their bodies are in `activities/`.

The workflow worker imports these classes only, so it needs no driver and no secret.
"""

from temporalio import activity

from workflows.contracts.alarms import BudgetWeighed, WeighRequest
from workflows.contracts.approvals import DecisionReceipt, RecordRequest
from workflows.contracts.calls import CallRequest, CallResult
from workflows.contracts.drills import DrillReport, DrillRequest
from workflows.contracts.model import Plan, PlanRequest
from workflows.contracts.reaping import ReapReport
from workflows.contracts.reviews import ReviewGiven, ReviewRequest
from workflows.contracts.rollbacks import UndoRequest, UndoStarted
from workflows.contracts.runs import CloseRequest, OpenRequest, RunOpened, RunOutcome


class RunsPort:
    """Admitting runs, and writing down how they ended."""

    @activity.defn(name="runs.open")
    async def open(self, request: OpenRequest) -> RunOpened:
        """Admit the run and freeze what it lives by. Refuses with a non-retryable error that says what to change."""
        raise NotImplementedError

    @activity.defn(name="runs.close")
    async def close(self, request: CloseRequest) -> RunOutcome:
        """Write the end: every call gets a result, every open approval is withdrawn. Safe to repeat."""
        raise NotImplementedError

    @activity.defn(name="runs.reap")
    async def reap(self) -> ReapReport:
        """Close in our tables every run that Temporal no longer runs."""
        raise NotImplementedError


class BudgetsPort:
    """Reads the budget of a run."""

    @activity.defn(name="budgets.weigh")
    async def weigh(self, request: WeighRequest) -> BudgetWeighed:
        """The run's budget as it is now. People are told once of a breach that still is one. Safe to repeat."""
        raise NotImplementedError


class ModelPort:
    """Asking a model what to do next."""

    @activity.defn(name="model.plan")
    async def plan(self, request: PlanRequest) -> Plan:
        """One model call, stored before it is returned: a retry finds the stored answer and returns the same plan."""
        raise NotImplementedError


class GatewayPort:
    """The gateway: the only way to perform a tool call."""

    @activity.defn(name="gateway.call")
    async def call(self, request: CallRequest) -> CallResult:
        """Decide about one call and perform it at most once. Safe to attempt again at any point."""
        raise NotImplementedError


class ApprovalsPort:
    """Decisions by people."""

    @activity.defn(name="approvals.record")
    async def record(self, request: RecordRequest) -> DecisionReceipt:
        """Verify one decision and store it. The gateway believes what is stored here and nothing else."""
        raise NotImplementedError


class ReviewsPort:
    """Opinions of agents that are asked beside people."""

    @activity.defn(name="reviews.give")
    async def give(self, request: ReviewRequest) -> ReviewGiven:
        """Ask the reviewer of an approval, once. Whatever goes wrong is no yes, and people decide alone."""
        raise NotImplementedError


class UndoPort:
    """Taking back what runs did."""

    @activity.defn(name="undo.start")
    async def start(self, request: UndoRequest) -> UndoStarted:
        """Order the rollback of a run that is over, and start it. Safe to repeat."""
        raise NotImplementedError


class DrillsPort:
    """Drills of the off switch."""

    @activity.defn(name="drills.run")
    async def run(self, request: DrillRequest) -> DrillReport:
        """Start decoys, halt them, measure, store the report."""
        raise NotImplementedError
