"""Alarms in Slack: each once, whatever replicas there are, with the command that lets the run go on."""

from tests.fakes.slack_api import FakeSlack, Message
from tests.harness.budgets import paused
from tests.harness.stanchion import Stanchion, eventually
from tests.slack.channel import Starts, as_seen

NOTES = [{"tools": [{"name": "note", "input": {"text": f"{n}"}}]} for n in range(3)]


async def test_a_budget_that_is_used_up_is_told_once_with_what_to_do(
    stanchion: Stanchion, slack: FakeSlack, bots: Starts
) -> None:
    for _ in range(2):
        await bots()
    handle = await stanchion.start(await stanchion.publish(NOTES, "note", "take_back"), budget={"tool_calls": 1})
    await paused(handle)

    def told() -> list[Message]:
        return [m for m in slack.messages if handle.id in m.shown]

    async def posted() -> bool:
        return bool(await stanchion.value("SELECT count(*) = 2 AND count(ts) = 2 FROM slack_alarms"))

    await eventually(posted, "both alarms are posted")
    [mark, breach] = sorted(told(), key=lambda message: "paused" in message.shown)
    assert "has used 90 % of its tool calls" in mark.shown
    assert "is paused: its budget is used up" in breach.shown
    assert f"stanchion resume {handle.id} --add-tool-calls 1" in breach.shown
    assert breach.channel == "C0ASKS" and not set(breach.buttons)
    await handle.signal("resume")
    await paused(handle)
    assert len(told()) == 2  # it pauses again, and nobody is told again


async def test_alarms_of_other_tenants_are_not_shown(stanchion: Stanchion, slack: FakeSlack, bots: Starts) -> None:
    await bots(tenants=("acme",))
    agent = await stanchion.publish(NOTES, "note", "take_back")
    hidden = await stanchion.start(agent, budget={"tool_calls": 1})
    await paused(hidden)
    shown = await stanchion.start(agent, budget={"tool_calls": 1}, tenant="acme")
    await eventually(lambda: as_seen([m for m in slack.messages if shown.id in m.shown]), "the alarm of acme is posted")
    assert not [m for m in slack.messages if hidden.id in m.shown]
