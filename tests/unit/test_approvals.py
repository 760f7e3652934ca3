"""What the loop answers about a decision without a look at any table."""

from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings

from tests.harness.values import EPOCH, contract, instants
from workflows.approvals import CALL_VERDICTS, UNKNOWN_VERDICTS, answer_without_tables, expiry, opened_by
from workflows.contracts.approvals import CallVerdict, Decision, DecisionReceipt, OpenApproval, UnknownVerdict
from workflows.contracts.calls import NeedsApproval, Unknown
from workflows.contracts.events import DecisionNoted
from workflows.contracts.model import PlannedCall
from workflows.state import INBOX_LIMIT, OpenTimer, RunState

LATER = EPOCH + timedelta(hours=1)
CALL = OpenApproval(approval_id="ap", call_id="1.0", tool="send", about="call", tier="T3", expires_at=LATER)
UNKNOWN = OpenApproval(approval_id="ap", call_id="1.0", tool="send", about="unknown")


def decided(verdict: Any, approval_id: str = "ap") -> Decision:
    """A person's answer."""
    return Decision(approval_id=approval_id, verdict=verdict, by="lee")


def test_the_verdicts_are_those_of_the_contract() -> None:
    assert frozenset(get_args(CallVerdict)) == CALL_VERDICTS
    assert frozenset(get_args(UnknownVerdict)) == UNKNOWN_VERDICTS


@pytest.mark.parametrize("approval", [CALL, UNKNOWN], ids=["call", "unknown"])
@pytest.mark.parametrize("verdict", sorted(CALL_VERDICTS | UNKNOWN_VERDICTS))
def test_a_verdict_goes_on_only_to_the_question_it_answers(approval: OpenApproval, verdict: str) -> None:
    receipt = answer_without_tables(RunState(approvals=(approval,)), decided(verdict), EPOCH)
    fits = verdict in (CALL_VERDICTS if approval.about == "call" else UNKNOWN_VERDICTS)
    assert (receipt is None) is fits
    if receipt:
        assert receipt.answer == "not allowed" and not receipt.closes


@pytest.mark.parametrize(
    ("after", "answer"),
    [(timedelta(minutes=59), None), (timedelta(hours=1), "expired"), (timedelta(days=9), "expired")],
)
def test_silence_becomes_no_at_the_very_instant(after: timedelta, answer: str | None) -> None:
    receipt = answer_without_tables(RunState(approvals=(CALL,)), decided("approve"), EPOCH + after)
    assert (receipt.answer if receipt else None) == answer


def test_an_unknown_never_expires() -> None:
    assert (
        answer_without_tables(RunState(approvals=(UNKNOWN,)), decided("happened"), EPOCH + timedelta(days=3650)) is None
    )
    assert expiry(UNKNOWN, EPOCH) is None


def test_a_second_answer_is_told_so_and_a_wrong_id_is_not_allowed() -> None:
    state = RunState(decided=("old",))
    assert (r := answer_without_tables(state, decided("approve", "old"), EPOCH)) and r.answer == "already decided"
    assert (r := answer_without_tables(state, decided("approve", "never"), EPOCH)) and r.answer == "not allowed"


def test_an_answer_that_overtakes_the_question_is_kept() -> None:
    call = PlannedCall(call_id="1.0", seq=2, tool="send", digest="d")
    assert answer_without_tables(RunState(pending=(call,)), decided("approve"), EPOCH) is None
    other = CALL.model_copy(update={"approval_id": "other"})
    asked = RunState(pending=(call,), approvals=(other,))
    assert (receipt := answer_without_tables(asked, decided("approve"), EPOCH)) and receipt.answer == "not allowed"


def test_an_answer_after_the_expiry_is_told_so() -> None:
    assert (
        receipt := answer_without_tables(RunState(lapsed=("ap",)), decided("approve"), EPOCH)
    ) and receipt.answer == "expired"


def test_a_flood_of_decisions_is_bounded() -> None:
    noted = DecisionNoted(decision=decided("approve"))
    state = RunState(approvals=(CALL,), inbox=(noted,) * (INBOX_LIMIT - 1))
    assert answer_without_tables(state, decided("approve"), EPOCH) is None
    full = state.model_copy(update={"inbox": (noted,) * INBOX_LIMIT})
    assert (receipt := answer_without_tables(full, decided("approve"), EPOCH)) and receipt.answer == "not allowed"


@settings(max_examples=30)
@given(state=contract(RunState), decision=contract(Decision), now=instants)
def test_no_answer_of_the_loop_itself_ever_approves_or_closes(
    state: RunState, decision: Decision, now: datetime
) -> None:
    receipt = answer_without_tables(state, decision, now)
    if receipt is None:
        with_the_gateway = {call.call_id for call in state.pending} - {a.call_id for a in state.approvals}
        assert with_the_gateway or any(a.approval_id == decision.approval_id for a in state.approvals)
    else:
        assert isinstance(receipt, DecisionReceipt)
        assert receipt.answer != "accepted" and not receipt.closes and receipt.reason


@given(now=instants)
def test_a_timer_is_never_zero(now: datetime) -> None:
    limit = expiry(CALL, now)
    assert limit is not None and limit >= timedelta(milliseconds=1)
    if now < LATER - timedelta(seconds=1):
        assert now + limit == LATER


def test_what_the_gateway_asks_for_is_what_stands_open() -> None:
    needs = NeedsApproval(call_id="1.0", approval_id="ap", tool="send", tier="T3", expires_at=LATER)
    assert opened_by(needs) == CALL
    assert opened_by(Unknown(call_id="1.0", approval_id="ap", tool="send")) == UNKNOWN


def test_while_a_run_sleeps_a_decision_about_nothing_is_answered_at_once() -> None:
    waits = PlannedCall(call_id="1.0", seq=2, tool="wait", digest="d")
    awake = RunState(pending=(waits,))
    asleep = RunState(pending=(waits,), timer=OpenTimer(call_id="1.0", until=LATER))
    receipt = answer_without_tables(asleep, decided("approve"), EPOCH)
    assert receipt is not None and receipt.answer == "not allowed"
    assert answer_without_tables(awake, decided("approve"), EPOCH) is None  # its approval may be in the table already
