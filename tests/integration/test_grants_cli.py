"""`stanchion resume RUN`, typed as people type it, at runs that are short of a budget."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.budgets import budget_of, paused
from tests.harness.people import People
from tests.harness.stanchion import Stanchion
from tests.harness.typed import Terminal
from workers import keys
from workers.services import Home, Services

pytestmark = pytest.mark.slow

UNSIGNED = {"STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS": "1"}
NOTES = [{"tools": [{"name": "note", "input": {"text": f"{n}"}}]} for n in range(3)] + [{"text": "done"}]


@pytest.fixture
def typed(services: Services, stanchion: Stanchion, tmp_path: Path) -> Terminal:
    queue = stanchion.settings.task_queue
    places = {"DATABASE_URL": stanchion.database_url, "TEMPORAL_ADDRESS": services.temporal.address}
    return Terminal(tmp_path, {**places, "STANCHION_TASK_QUEUE": queue})


async def test_a_run_that_is_short_of_a_budget_goes_on_with_what_was_added_and_not_without(
    stanchion: Stanchion, typed: Terminal, systems: Callable[..., Stanchion]
) -> None:
    agent = await stanchion.publish(NOTES, "note", "take_back", name=None)
    watched = await typed("run", agent.definition.name, "go", "--key", "k", "--tool-calls", "1", "--watch", "--json")
    run_id = watched.data["run"]
    assert (watched.code, watched.data["status"]) == (4, "paused")
    assert watched.data["reason"].startswith("budget.tool_calls: 1 of 1 tool calls used; `stanchion resume ")
    handle = stanchion.client.get_workflow_handle(run_id)

    bare = await typed("resume", "k")
    assert bare.code == 4 and f"stanchion resume {run_id} --add-tool-calls 1" in bare.err
    await paused(handle, "budget.tool_calls")

    proofless = await typed("resume", "k", "--add-tool-calls", "5", "--by", "lee")
    assert proofless.code == 3 and "it is not signed" in proofless.err
    for wrong in (("--add-usd", "-1"), ("--add-usd", "NaN"), ("--add-tokens", "0"), ("--add-minutes", "99999")):
        assert (await typed("resume", "k", *wrong, **UNSIGNED)).code == 2
    assert (await typed("resume", "--fleet", "--add-usd", "1.00", **UNSIGNED)).code == 2
    assert (await typed("resume", "k", "--grant", "g-1", **UNSIGNED)).code == 2
    assert (await budget_of(stanchion, run_id))["tool_calls"] == 1

    words = ("resume", "k", "--add-tool-calls", "5", "--add-usd", "0.50", "--by", "lee", "--grant", "g-1", "--json")
    given = await typed(*words, **UNSIGNED)
    assert given.code == 0, given.err
    assert (given.data["grant"], given.data["proof"], given.data["again"]) == ("g-1", "unsigned", False)
    assert given.data["budget"]["tool_calls"] == 6 and given.data["added"] == {"tool_calls": 5, "usd_micros": 500_000}
    assert (await stanchion.outcome(handle))["status"] == "completed"
    again = await typed(*words, **UNSIGNED)
    assert again.data["again"] and again.data["budget"]["tool_calls"] == 6
    late = await typed("resume", "k", "--add-tool-calls", "5", "--by", "lee", **UNSIGNED)
    assert late.code == 3 and "is over" in late.err
    log = (await typed("logs", "k")).out
    assert "added by lee: 500000 usd_micros, 5 tool_calls" in log and "100 %" not in log


async def test_a_grant_is_signed_with_the_key_of_who_gives_it(stanchion: Stanchion, typed: Terminal) -> None:
    people = People.of(stanchion.parts.database)
    signer = keys.create(Home(typed.home), "lee")
    await people.principals.add("default", "lee", (), None, "test")
    await people.principals.add_key(signer.public, "person", "default", "lee", "test")
    agent = await stanchion.publish(NOTES, "note", "take_back")
    handle = await stanchion.start(agent, budget={"tool_calls": 1}, requester="ana")
    await paused(handle, "budget.tool_calls")
    given = await typed("resume", handle.id, "--add-tool-calls", "5", "--by", "lee", "--json")
    assert (given.code, given.data["proof"]) == (0, "signature"), given.err
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert (await typed("resume", handle.id, "--add-usd", "1.00", "--by", "lee")).code == 3


async def test_a_grant_counts_though_temporal_is_away(stanchion: Stanchion, typed: Terminal) -> None:
    handle = await stanchion.start(await stanchion.publish(NOTES, "note", "take_back"), budget={"tool_calls": 1})
    await paused(handle, "budget.tool_calls")
    nowhere = UNSIGNED | {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
    given = await typed("resume", handle.id, "--add-tool-calls", "5", "--by", "lee", **nowhere)
    assert given.code == 5 and "it is added, but the run was not told" in given.err
    assert (await budget_of(stanchion, handle.id))["tool_calls"] == 6
    assert (await typed("resume", handle.id)).code == 0
    assert (await stanchion.outcome(handle))["status"] == "completed"


async def test_a_run_told_not_to_pause_ends_with_the_exit_code_of_budgets(
    stanchion: Stanchion, typed: Terminal
) -> None:
    agent = await stanchion.publish(NOTES, "note", "take_back")
    words = ("run", agent.definition.name, "go", "--tool-calls", "1", "--on-budget", "stop", "--watch", "--json")
    ended = await typed(*words)
    assert (ended.code, ended.data["status"]) == (4, "stopped")
    assert ended.data["reason"] == "budget.tool_calls: 1 of 1 tool calls used"
    assert (await typed("run", agent.definition.name, "go", "--on-budget", "ask")).code == 2
