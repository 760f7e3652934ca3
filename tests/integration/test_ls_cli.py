"""What `stanchion ls` says of runs that stand still, and which runs it leaves out."""

from pathlib import Path
from typing import Any

import pytest

from activities.halts.halts import HaltOrder, Halts
from tests.harness.budgets import paused
from tests.harness.stanchion import Stanchion
from tests.harness.typed import Terminal
from workers.services import Services

pytestmark = pytest.mark.slow

NOTES = [{"tools": [{"name": "note", "input": {"text": f"{n}"}}]} for n in range(3)] + [{"text": "done"}]
SENDS: list[dict[str, Any]] = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]


@pytest.fixture
def typed(services: Services, stanchion: Stanchion, tmp_path: Path) -> Terminal:
    places = {"DATABASE_URL": stanchion.database_url, "TEMPORAL_ADDRESS": services.temporal.address}
    return Terminal(tmp_path, {**places, "STANCHION_TASK_QUEUE": stanchion.settings.task_queue})


async def test_runs_that_stand_still_are_listed_as_halted_or_paused_and_decoys_of_drills_when_they_are_meant(
    stanchion: Stanchion, typed: Terminal
) -> None:
    short = await stanchion.start(await stanchion.publish(NOTES, "note", "take_back"), budget={"tool_calls": 1})
    await paused(short, "budget.tool_calls")
    halted = await stanchion.start(await stanchion.publish(SENDS, "send"), tenant="acme")
    waiting = await stanchion.start(await stanchion.publish(SENDS, "send"))
    decoy = await stanchion.start(await stanchion.publish([{"text": "done"}], name="stanchion-drill-quick"))
    await stanchion.outcome(decoy)
    for handle in (halted, waiting):
        await stanchion.approval(handle)
    await Halts(stanchion.parts.database).order(HaltOrder(scope="tenant", target="acme", by="lee"))

    listed = await typed("ls", "--json")
    said = {row["run_id"]: row["status"] for row in listed.data}
    assert said == {short.id: "paused", halted.id: "halted", waiting.id: "waiting"}
    assert "1 decoys of drills are left out" in listed.err
    for words in (("--drills",), ("--agent", "stanchion-drill-quick")):
        named = await typed("ls", *words, "--json")
        assert decoy.id in [row["run_id"] for row in named.data] and "left out" not in named.err
    await stanchion.rows(
        "INSERT INTO budget_grants (grant_id, run_id, tool_calls, by, proof, budget) "
        "VALUES ('g', $1, 5, 'lee', 'unsigned', '{}')",
        short.id,
    )
    assert {row["run_id"]: row["status"] for row in (await typed("ls", "--json")).data}[short.id] == "running"
