"""Every recorded history replays on the workflow as it is now; on an altered one none does."""

import json
from pathlib import Path

import pytest
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.replay.altered import AlteredWorkflow
from tests.replay.record import FINGERPRINTS, FOLDER, generations, load
from workers.plugin import stanchion_plugin
from workflows import patches
from workflows.agent import AgentWorkflow

HISTORIES = [file for folder in generations() for file in sorted(folder.glob("*.json")) if file.name != FINGERPRINTS]

LESSON = """
{file} does not replay: a run that is alive now would be stuck on this change.
Gate the change with a patch (workflow.patched) that old histories do not have, and leave the history as it is.
Only before the first release may it be recorded anew: python -m tests.replay.record

{error}"""


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


def test_there_is_a_history_of_each_kind() -> None:
    kinds = {file.stem for file in HISTORIES}
    assert {"plain", "approval", "halt", "cancel", "wait", "unknown", "mistakes", "paused"} <= kinds
    assert {"rollover-1", "rollover-2", "delegation", "delegation_cancelled"} <= kinds
    assert {"looping", "stopped_mistakes", "stopped_repeats"} <= kinds  # after and before `patches.loops_pause`


@pytest.mark.parametrize("file", HISTORIES, ids=_name)
async def test_a_recorded_history_replays(file: Path) -> None:
    replayer = Replayer(workflows=[AgentWorkflow], plugins=[stanchion_plugin()])
    result = await replayer.replay_workflow(load(file), raise_on_replay_failure=False)
    if result.replay_failure:
        pytest.fail(LESSON.format(file=_name(file), error=result.replay_failure), pytrace=False)


@pytest.mark.parametrize("file", HISTORIES, ids=_name)
async def test_no_recorded_history_replays_on_an_altered_workflow(file: Path) -> None:
    replayer = Replayer(workflows=[AlteredWorkflow], plugins=[stanchion_plugin()])
    result = await replayer.replay_workflow(load(file), raise_on_replay_failure=False)
    assert isinstance(result.replay_failure, NondeterminismError)


@pytest.mark.parametrize("name", ["stopped_mistakes", "stopped_repeats"])
async def test_a_history_from_before_a_patch_replays_only_because_of_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "loops_pause", lambda: True)
    replayer = Replayer(workflows=[AgentWorkflow], plugins=[stanchion_plugin()])
    result = await replayer.replay_workflow(load(FOLDER / "01" / f"{name}.json"), raise_on_replay_failure=False)
    assert isinstance(result.replay_failure, NondeterminismError)


@pytest.mark.parametrize("file", HISTORIES, ids=_name)
def test_a_recorded_history_says_nothing_of_the_machine_it_was_recorded_on(file: Path) -> None:
    found: set[str] = set()

    def look(value: object) -> None:
        for key, item in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            if key in ("identity", "stackTrace"):
                found.add(str(item))
            look(item)

    look(json.loads(file.read_text(encoding="utf-8")))
    assert found <= {"recorder"}
