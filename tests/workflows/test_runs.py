"""A run from start to end, by the public contract."""

from tests.harness.stanchion import Stanchion


async def test_a_run_reads_acts_and_answers(stanchion: Stanchion) -> None:
    agent = await stanchion.publish(
        [
            {"tools": [{"name": "look", "input": {"what": "a"}}, {"name": "look", "input": {"what": "b"}}]},
            {"tools": [{"name": "note", "input": {"text": "seen"}}]},
            {"text": "all done"},
        ],
        "look",
        "note",
        "take_back",
    )
    handle = await stanchion.start(agent, "look at both")
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == "completed"
    assert outcome["answer"] == "all done"
    assert outcome["steps"] == 3
    assert outcome["spent"]["tool_calls"] == 3
    assert await stanchion.results(handle.id) == {"1.0": "found a", "1.1": "found b", "2.0": "noted seen"}
    assert [row[0] for row in await stanchion.transcript(handle.id)] == list(range(7))


async def test_a_tool_of_tier_3_waits_for_a_person_and_then_happens_once(stanchion: Stanchion) -> None:
    agent = await stanchion.publish(
        [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "sent"}], "send"
    )
    handle = await stanchion.start(agent)
    receipt = await stanchion.decide(handle, "approve", by="lee")
    assert receipt["answer"] == "accepted"
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert await stanchion.results(handle.id) == {"1.0": "sent to bo@acme.example"}
