"""Runs with sub-agents and rollbacks, as `stanchion ls`, `show` and `rollback` tell of them."""

from pathlib import Path
from typing import Any

import pytest

from activities.undo.call_outlook import LeftAsIs, NothingToUndo
from activities.undo.report import ReportItem, RollbackReport, Standing, outlook_from_report
from tests.harness.delegating import ask, boss, child_of, delegate, worker
from tests.harness.stanchion import Stanchion
from tests.harness.typed import Terminal
from tests.undo.tools import MODULE, done_by
from workers.cli.runs.run_tree import as_tree
from workers.services import Services

pytestmark = pytest.mark.slow


@pytest.fixture
def typed(stanchion: Stanchion, services: Services, tmp_path: Path) -> Terminal:
    servers = {
        "DATABASE_URL": stanchion.database_url,
        "TEMPORAL_ADDRESS": services.temporal.address,
        "STANCHION_TASK_QUEUE": stanchion.settings.task_queue,
    }
    return Terminal(tmp_path / "home", servers)


async def delegating(stanchion: Stanchion, *turns: dict[str, Any]) -> tuple[str, str]:
    """A run that is over and that put a thing on a shelf, and its sub-agent, which played these turns."""
    helper = await worker(stanchion, *turns, {"text": "done"}, tools=("put", "drop"), module=MODULE)
    script = (ask(("put", {"name": "own"})), ask(delegate(helper)))
    agent = await boss(stanchion, *script, delegates=[helper], tools=("put", "drop"), module=MODULE)
    handle = await stanchion.start(agent, requester="ana")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    return handle.id, await child_of(stanchion, handle.id)


PUT = ask(("put", {"name": "a"}))


async def test_show_lists_sub_agents_and_rollbacks_and_ls_puts_them_where_they_belong(
    stanchion: Stanchion, typed: Terminal
) -> None:
    run_id, child = await delegating(stanchion, PUT)
    taken = await typed("rollback", child, "--by", "lee", "--reason", "wrong shelf", "--json")
    assert taken.code == 0, taken.err
    shown = (await typed("show", run_id, "--json")).data
    assert [(c["run_id"], c["call_id"], c["status"]) for c in shown["children"]] == [(child, "2.0", "completed")]
    assert shown["rollbacks"] == []
    below = (await typed("show", child, "--json")).data
    assert below["parent_run_id"] == run_id
    [rollback] = below["rollbacks"]
    assert (rollback["rollback_id"], rollback["status"]) == (taken.data["rollback"], "completed")
    assert (rollback["by"], rollback["proof"], rollback["reason"]) == ("lee", "unsigned", "wrong shelf")
    for_people = await typed("show", run_id), await typed("show", child)
    assert "\nsub-agents\nRUN ID" in for_people[0].out and child in for_people[0].out
    assert "\nrollbacks\nROLLBACK ID" in for_people[1].out and taken.data["rollback"] in for_people[1].out
    listed = (await typed("ls")).out.splitlines()
    lines = [line.split("  ")[0] for line in listed[1:]]
    assert lines == [taken.data["rollback"], run_id, f"└─ {child}"]
    found = {row["run_id"]: row["parent_run_id"] for row in (await typed("ls", "--json")).data}
    assert found[child] == run_id and found[run_id] is None


async def test_what_a_sub_agent_did_is_left_by_the_rollback_of_its_run_and_said_to_be(
    stanchion: Stanchion, typed: Terminal
) -> None:
    run_id, child = await delegating(stanchion, PUT)
    first = await typed("rollback", run_id, "--json")
    assert first.code == 1, first.err
    [left, undone] = first.data["calls"]
    assert (left["call_id"], left["tool"], left["standing"]) == ("2.0", "delegate", "left")
    assert left["reason"] == f"{child} did the work; `stanchion rollback {child}` takes back that"
    assert (undone["call_id"], undone["standing"]) == ("1.0", "undone")
    assert done_by(first.data["rollback"]) == ["drop own-3"]
    below = await typed("rollback", child, "--json")
    assert (below.code, done_by(below.data["rollback"])) == (0, ["drop a-1"]), below.err
    again = await typed("rollback", run_id, "--json")
    assert (again.code, again.data["complete"], again.data["rollback"]) == (0, True, first.data["rollback"])
    assert again.data["calls"][0]["reason"] == f"what {child} did is taken back already"


async def test_a_sub_agent_that_did_nothing_leaves_nothing(stanchion: Stanchion, typed: Terminal) -> None:
    run_id, child = await delegating(stanchion)
    answer = await typed("rollback", run_id)
    assert answer.code == 0, answer.err
    assert f"nothing     2.0 delegate: {child} did nothing that could be taken back" in answer.out


@pytest.mark.parametrize(
    ("standings", "said"),
    [
        ((), NothingToUndo("child did nothing that could be taken back")),
        (("never",), NothingToUndo("child did nothing that could be taken back")),
        (("undone", "never"), NothingToUndo("what child did is taken back already")),
        (("undoable", "undone"), LeftAsIs("child did the work; `stanchion rollback child` takes back that")),
        (("undoable", "left"), LeftAsIs("child did the work; `stanchion rollback child` takes back what of it can be")),
        (("under way",), LeftAsIs("child did the work; `stanchion rollback child` takes back what of it can be")),
    ],
)
def test_what_is_said_of_a_call_that_delegated_follows_from_what_became_of_the_sub_agents_own(
    standings: tuple[Standing, ...], said: NothingToUndo | LeftAsIs
) -> None:
    items = tuple(ReportItem(f"{n}.0", n, "put", standing) for n, standing in enumerate(standings))
    assert outlook_from_report(RollbackReport("child", 0, None, items)) == said


def row(run_id: str, parent: str | None = None) -> dict[str, Any]:
    return {"run_id": run_id, "parent_run_id": parent}


def test_sub_agents_stand_below_the_run_they_work_for_if_that_is_listed() -> None:
    rows = [row("c2", "b"), row("b2", "a"), row("z", "gone"), row("c1", "b"), row("b", "a"), row("a"), row("0")]
    assert [each["run_id"] for each in as_tree(rows)] == ["z", "a", "└─ b", "└── c1", "└── c2", "└─ b2", "0"]
    assert as_tree([]) == []
