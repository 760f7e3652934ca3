"""The signals, updates and queries of a run. Public (docs/contract.md).

Handlers only note events; the loop acts on them. Every handler takes one JSON object with a default and ignores further
arguments: a signal with another number of arguments than its handler takes would fail the workflow task for ever.
"""

from typing import Any

from temporalio import workflow

from workflows import display
from workflows.approvals import answer_without_tables
from workflows.contracts.approvals import Decision, DecisionReceipt
from workflows.contracts.budgets import MICROS
from workflows.contracts.events import ClockStarted, DecisionNoted, StepEvent
from workflows.contracts.messages import HaltOrdered, MessageReceived, PauseOrdered, ResumeOrdered
from workflows.input_reading import has_room, read, read_signal
from workflows.search import AGENT_COST_USD, AGENT_STATUS
from workflows.state import RunState, spent_in_all, status_word
from workflows.transitions import apply


class Handlers:
    """Holds the state of a run, and the handlers that note events in it."""

    def __init__(self) -> None:
        self._state = RunState()
        self._receipts: dict[str, DecisionReceipt] = {}  # by update id
        self._over = False
        self._announced = ""

    def _start_clock(self) -> None:
        if self._state.active_since is None:
            self._apply(ClockStarted(at=workflow.now()))
        self._announce(status_word(self._state))

    def _announce(self, word: str) -> None:
        """Write the search attributes if the status has changed. Each write is an event in the history."""
        if word == self._announced:
            return
        self._announced = word
        cost = spent_in_all(self._state).usd_micros / MICROS
        workflow.upsert_search_attributes([AGENT_STATUS.value_set(word), AGENT_COST_USD.value_set(cost)])

    def _apply(self, event: StepEvent) -> None:
        self._state = apply(self._state, event)
        workflow.set_current_details(display.details(self._state))

    @workflow.signal
    def decision(self, decision: Any = None, *_: Any) -> None:
        """A person's answer to an open approval: `{"approval_id", "verdict", "by", "reason"?, "arguments"?, …}`."""
        noted = read_signal(Decision, decision)
        if noted and answer_without_tables(self._state, noted, workflow.now()) is None:
            self._apply(DecisionNoted(decision=noted))

    @workflow.update
    async def decide(self, decision: Any = None, *_: Any) -> DecisionReceipt:
        """As `decision`, and it answers: accepted, expired, already decided, not allowed."""
        parsed = read(Decision, decision)
        if receipt := answer_without_tables(self._state, parsed, workflow.now()):
            return receipt
        info = workflow.current_update_info()
        ticket = info.id if info else ""
        self._apply(DecisionNoted(decision=parsed, ticket=ticket))
        await workflow.wait_condition(lambda: ticket in self._receipts or self._over)
        over = DecisionReceipt(approval_id=parsed.approval_id, answer="not allowed", reason="the run is over")
        return self._receipts.pop(ticket, over)

    @decide.validator
    def _check_decision(self, decision: Any = None, *_: Any) -> None:
        read(Decision, decision)

    @workflow.signal
    def message(self, message: Any = None, *_: Any) -> None:
        """Something for the agent to read before its next step: `{"text", "by"?}`."""
        said = read_signal(MessageReceived, message)
        if said and has_room(self._state):
            self._apply(said)
        elif said:
            workflow.logger.warning("dropped a message: %d are waiting to be read", len(self._state.messages))

    @workflow.update
    async def tell(self, message: Any = None, *_: Any) -> dict[str, Any]:
        """As `message`, and it answers: `{"accepted": true, "waiting": n}`. One that cannot be noted is refused."""
        self._apply(read(MessageReceived, message))
        return {"accepted": True, "waiting": len(self._state.messages)}

    @tell.validator
    def _check_message(self, message: Any = None, *_: Any) -> None:
        read(MessageReceived, message)
        if not has_room(self._state):
            raise ValueError(f"{len(self._state.messages)} messages wait to be read; send it again later")

    @workflow.signal
    def halt(self, order: Any = None, *_: Any) -> None:
        """Stop the run: `{"by"?, "reason"?}`."""
        self._apply(read_signal(HaltOrdered, order) or HaltOrdered())

    @workflow.signal
    def pause(self, order: Any = None, *_: Any) -> None:
        """Begin nothing new until `resume`: `{"by"?, "reason"?}`."""
        self._apply(read_signal(PauseOrdered, order) or PauseOrdered())

    @workflow.signal
    def resume(self, order: Any = None, *_: Any) -> None:
        """Go on after `pause`: `{"by"?, "reason"?}`."""
        if order := read_signal(ResumeOrdered, order):
            self._apply(order)

    @workflow.query
    def status(self) -> dict[str, Any]:
        """Where the run stands (docs/contract.md)."""
        return display.status(self._state, workflow.now())

    @workflow.query
    def approvals(self) -> list[dict[str, Any]]:
        """What is open, and the command that answers it."""
        return display.approvals(self._state)
