"""A control that is missing, broken, slow or away means no at the gateway, and someone is told.

Each fault is tried with an effect that nobody has to be asked about and with one that somebody has approved: the tool
counts, and without the fault both would have happened.
"""

import time
from typing import Any

import cedarpy
import pytest
from structlog.testing import capture_logs

from activities.gateway.evaluation import checks, evaluator
from activities.policy.cedar import policy
from activities.policy.cedar.store import Effective
from activities.policy.engine import evaluation
from tests.harness.door import Call, Door
from tests.harness.outcomes import done
from workflows.contracts.calls import Observed, Refused

PERMIT = "permit (principal, action, resource);"
TEXT = {"text": "hello"}  # `note` and `send` both have it; `send` has an optional one besides
SEND = {"to": "ann@acme.example", **TEXT}

ERRS = {
    "a forbid that reads what is not there": f"{PERMIT} forbid (principal, action, resource) when {{ context.nope }};",
    "a forbid about an argument of other tools": (
        f"{PERMIT} forbid (principal, action, resource) when {{ context.arguments.cents > 500 }};"
    ),
    "a forbid that compares a text with a number": (
        f"{PERMIT} forbid (principal, action, resource) when {{ context.arguments.text > 5 }};"
    ),
    "a forbid that overflows": (
        f"{PERMIT} forbid (principal, action, resource) when {{ 9223372036854775807 + 1 > 0 }};"
    ),
    "a forbid that fails beside one that does not apply": (
        f"{PERMIT} forbid (principal, action, resource) when {{ context.nope }};"
        ' forbid (principal, action, resource) when { context.tenant == "globex" };'
    ),
    "a question that fails": f"{PERMIT} @ask forbid (principal, action, resource) when {{ context.nope }};",
    "a permit that fails beside one that holds": (
        f"{PERMIT} permit (principal, action, resource) when {{ context.nope }};"
    ),
}
CANNOT_BE_READ = {
    "empty": "",
    "blank": " \n",
    "only a comment": "// permit (principal, action, resource);",
    "broken": "permit (principal, action",
    "another language": "allow = true",
    "nothing is permitted": "forbid (principal, action, resource);",
    "a template": "permit (principal == ?principal, action, resource);",
    "too deep": f"{PERMIT} forbid (principal, action, resource) when {{ {'(' * 500}true{')' * 500} }};",
}


async def unasked(door: Door) -> Call:
    """A reversible write in a clean run: nobody has to be asked."""
    run = await door.open(await door.publish("note", "send", "look"))
    return (await door.plan(run, ("note", TEXT)))[0]


async def approved(door: Door) -> Call:
    """A message that someone has approved."""
    run = await door.open(await door.publish("note", "send", "look"))
    call = (await door.plan(run, ("send", SEND)))[0]
    await door.approved(call)
    return call


BOTH = pytest.mark.parametrize("made", [unasked, approved], ids=["nobody asks", "approved"])


async def assert_denied(door: Door, call: Call, rule: str) -> None:
    """The call is refused by this rule, for good, and one alert says so; the tool did nothing."""
    with capture_logs() as logs:
        answer = await door.call(call)
    assert answer == Refused(call_id=call.call_id, rule=rule)
    alerts = [line for line in logs if line["event"] == "policy.broken"]
    said = [(line["log_level"], line["rule"], line["run_id"]) for line in alerts]
    assert said == [("error", rule, call.run_id)]
    assert await door.call(call) == answer
    assert call.happened == 0


@BOTH
async def test_with_all_controls_in_place_the_call_is_performed_and_nobody_is_alarmed(door: Door, made: Any) -> None:
    call = await made(door)
    with capture_logs() as logs:
        assert done(await door.call(call))
    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []
    assert call.happened == 1


# ── the policy ───────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
async def test_without_the_platforms_policy_nothing_is_performed(door: Door, made: Any) -> None:
    call = await made(door)
    await door.put_policy("acme", PERMIT)  # a tenant's own does not stand in for it
    await door.execute("DELETE FROM policy_heads WHERE scope = '*'")
    await assert_denied(door, call, "policy.missing")


async def test_without_the_platforms_policy_not_even_a_read_is_performed(door: Door) -> None:
    call = await door.one(await door.publish("look"), "look")
    await door.execute("DELETE FROM policy_heads")
    await assert_denied(door, call, "policy.missing")


@pytest.mark.parametrize("scope", ["*", "acme"])
@pytest.mark.parametrize("text", CANNOT_BE_READ)
async def test_a_policy_that_cannot_be_read_denies(door: Door, text: str, scope: str) -> None:
    call = await unasked(door)
    await door.put_policy(scope, CANNOT_BE_READ[text])
    await assert_denied(door, call, "policy.error")


@pytest.mark.parametrize("scope", ["*", "acme"])
@pytest.mark.parametrize("text", ERRS)
async def test_a_rule_that_fails_denies_whatever_else_the_policy_permits(door: Door, text: str, scope: str) -> None:
    call = await unasked(door)
    await door.put_policy(scope, ERRS[text])
    await assert_denied(door, call, "policy.error")


@pytest.mark.parametrize("text", ["", "permit (principal, action", ERRS["a forbid that overflows"]])
async def test_a_policy_that_broke_after_the_approval_denies(door: Door, text: str) -> None:
    call = await approved(door)
    await door.put_policy("*", text)
    await assert_denied(door, call, "policy.error")


async def test_a_policy_whose_text_was_altered_in_the_database_denies(door: Door) -> None:
    call = await unasked(door)
    await door.execute(f"UPDATE policies SET text = '{PERMIT} // and more'")
    await assert_denied(door.another(), call, "policy.error")


async def test_the_agents_own_policy_being_broken_denies(door: Door) -> None:
    agent = await door.publish("note", policy=f"{PERMIT} // mine")
    call = await door.one(agent, "note", **TEXT)
    await door.execute("""UPDATE agents SET definition = replace(definition::text, 'permit (', 'permit ((')::json""")
    await assert_denied(door.another(), call, "policy.error")


async def test_a_tool_that_this_workers_code_does_not_have_is_denied_and_the_reason_says_what_to_do(door: Door) -> None:
    agent = await door.publish("note")
    await door.execute("""UPDATE agents SET tools = replace(tools::text, '"name":"note"', '"name":"newer"')::json""")
    call = await door.another().one(agent, "newer", **TEXT)
    assert await door.another().call(call) == Refused(call_id=call.call_id, rule="tool.not-here")


async def test_another_tenants_broken_policy_denies_nothing_here(door: Door) -> None:
    call = await unasked(door)
    await door.put_policy("globex", "permit (principal, action")
    assert done(await door.call(call))


# ── throwing and slow ────────────────────────────────────────────────────────────────────────────────────────────────


def throws(*given: Any, **named: Any) -> Any:
    """Instead of a control."""
    raise RuntimeError("no such luck")


THROWING: dict[str, tuple[Any, str]] = {
    "Cedar": (policy, "is_authorized"),
    "the policies": (Effective, "decide"),
    "the tier table": (evaluation, "tier_verdict"),
    "provenance": (evaluation, "trace"),
    "the engine": (evaluation, "evaluate"),
}


@BOTH
@pytest.mark.parametrize("control", THROWING)
async def test_a_control_that_throws_denies(
    door: Door, made: Any, control: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await made(door)
    monkeypatch.setattr(*THROWING[control], throws)
    await assert_denied(door, call, "policy.error")


async def test_not_being_able_to_look_for_secrets_denies_what_leaves(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await approved(door)
    monkeypatch.setattr(evaluation, "secret_labels_in", throws)
    await assert_denied(door, call, "policy.error")


@BOTH
async def test_a_check_that_throws_denies(door: Door, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call = await made(door)
    monkeypatch.setattr(checks, "CHECKS", (*checks.CHECKS[:3], throws))
    await assert_denied(door, call, "policy.error")


@BOTH
async def test_cedar_coming_to_no_decision_denies(door: Door, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDecision:
        decision = cedarpy.Decision.NoDecision
        diagnostics = type("Diagnostics", (), {"errors": [], "reasons": []})

    call = await made(door)
    monkeypatch.setattr(policy, "is_authorized", lambda *given: NoDecision())
    await assert_denied(door, call, "policy.error")


@BOTH
async def test_a_panic_inside_cedar_performs_nothing(door: Door, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Rust panics with is no Exception."""

    class Panic(BaseException):
        pass

    def panics(*given: Any) -> Any:
        raise Panic("index out of bounds")

    call = await made(door)
    monkeypatch.setattr(policy, "is_authorized", panics)
    await assert_denied(door, call, "policy.error")


@BOTH
async def test_a_policy_that_takes_too_long_denies(door: Door, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, asked = 0.2, cedarpy.is_authorized

    def slow(*given: Any) -> Any:
        until = time.thread_time() + limit
        while time.thread_time() < until:
            pass
        return asked(*given)

    call = await made(door)
    monkeypatch.setattr(evaluator, "POLICY_SECONDS", limit)
    monkeypatch.setattr(policy, "is_authorized", slow)
    await assert_denied(door, call, "policy.slow")


@BOTH
async def test_a_policy_that_waits_for_something_denies(door: Door, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = cedarpy.is_authorized

    def hanging(*given: Any) -> Any:
        time.sleep(0.2)
        return asked(*given)

    call = await made(door)
    monkeypatch.setattr(evaluator, "POLICY_SECONDS", 0.2 / evaluator.BUSY)
    monkeypatch.setattr(policy, "is_authorized", hanging)
    await assert_denied(door, call, "policy.slow")


async def test_one_pause_of_the_process_while_a_policy_is_asked_denies_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the garbage collector makes one in a large process."""
    limit, asked, times = 0.2, cedarpy.is_authorized, [0]

    def slow_once(*given: Any) -> Any:
        times[0] += 1
        until = time.thread_time() + (limit if times[0] == 1 else 0)
        while time.thread_time() < until:
            pass
        return asked(*given)

    [call] = await door.plan(await door.open(await door.publish("note", "take_back")), ("note", {"text": "a"}))
    monkeypatch.setattr(evaluator, "POLICY_SECONDS", limit)
    monkeypatch.setattr(policy, "is_authorized", slow_once)
    assert isinstance(await door.call(call), Observed)
    assert times[0] > 1
