"""Arguments beyond all measure, or that Cedar has no word for, are refused as such; no alarm rings for either."""

from structlog.testing import capture_logs

from activities.gateway.evaluation.checks import ARGUMENTS_LIMIT
from tests.harness.door import Door
from workflows.contracts.calls import Observed, Refused

MODULE = "tests.activities.launderers"


async def test_arguments_are_taken_up_to_the_limit_and_not_beyond(door: Door) -> None:
    run = await door.open(await door.publish("keep", module=MODULE, grants={"keep": {}}))
    room = ARGUMENTS_LIMIT - len('{"data":{"a":""}}')
    [fits] = await door.plan(run, ("keep", {"data": {"a": "x" * room}}))
    assert isinstance(await door.call(fits), Observed)
    [too_large] = await door.plan(run, ("keep", {"data": {"a": "x" * (room + 1)}}))
    answer = await door.call(too_large)
    assert isinstance(answer, Refused)
    assert (answer.rule, answer.correctable, too_large.happened) == ("arguments.too-large", True, 0)


async def test_a_number_that_cedar_cannot_hold_is_refused_without_an_alarm(door: Door) -> None:
    run = await door.open(await door.publish("keep", module=MODULE))
    [call] = await door.plan(run, ("keep", {"data": {"n": 2**64}}))
    with capture_logs() as logged:
        answer = await door.call(call)
    assert isinstance(answer, Refused)
    assert (answer.rule, call.happened) == ("policy.inexpressible", 0)
    assert [entry for entry in logged if entry["event"] == "policy.broken"] == []
