"""`stanchion rollback` and `halt --undo` as they are typed: what they do, what they say, how they end."""

from pathlib import Path

import pytest

from activities.identity.principals import Principals
from tests.harness.stanchion import Stanchion
from tests.harness.typed import Terminal
from tests.undo.rolling import begun, ran, turn
from tests.undo.tools import done_by
from workers import keys
from workers.services import Home, Services

pytestmark = pytest.mark.slow

TURNS = [turn(("put", {"name": "a"})), turn(("send", {"to": "bo@acme.example"})), turn(("put", {"name": "bb"}))]
GRANTS = {"grants": {"put": {}, "drop": {}, "send": {}}, "goal": "write to bo@acme.example"}


@pytest.fixture
def typed(stanchion: Stanchion, services: Services, tmp_path: Path) -> Terminal:
    """`await typed("rollback", RUN)`: the CLI on this test's system, with its own state folder."""
    servers = {
        "DATABASE_URL": stanchion.database_url,
        "TEMPORAL_ADDRESS": services.temporal.address,
        "STANCHION_TASK_QUEUE": stanchion.settings.task_queue,
    }
    return Terminal(tmp_path / "home", servers)


async def test_a_dry_run_says_what_would_be_and_what_cannot_be_and_does_nothing(
    stanchion: Stanchion, typed: Terminal
) -> None:
    handle = await ran(stanchion, TURNS, "put", "drop", "send", **GRANTS)
    dry = await typed("rollback", handle.id.split("/")[-1], "--dry-run")
    assert dry.code == 1, dry.err
    assert dry.out.splitlines() == [
        f"Of {handle.id}: can be taken back: 2. Cannot: 1.",
        "  can be      3.0 put: by drop",
        "  can be      1.0 put: by drop",
        "  left        2.0 send: send declares no undo",
    ]
    assert "has to end" not in dry.err and "there is nothing after" not in dry.err
    assert (await typed("rollback", handle.id, "--dry-run", "--to", "2", "--json")).code == 0
    beyond = await typed("rollback", handle.id, "--dry-run", "--to", "99")
    assert "steps: there is nothing after step 99" in beyond.err
    assert await stanchion.value("SELECT count(*) FROM rollbacks") == 0


async def test_a_dry_run_of_an_open_run_says_that_it_has_to_end_first(stanchion: Stanchion, typed: Terminal) -> None:
    turns = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "send"))
    await stanchion.approval(handle)
    assert "it has to end before anything is taken back" in (await typed("rollback", handle.id, "--dry-run")).err


async def test_a_rollback_is_followed_to_its_report(stanchion: Stanchion, typed: Terminal) -> None:
    handle = await ran(stanchion, TURNS, "put", "drop", "send", **GRANTS)
    part = await typed("rollback", handle.id, "--to", "2", "--by", "lee", "--json")
    assert part.code == 0, part.err
    assert (part.data["complete"], part.data["by"], part.data["proof"]) == (True, "lee", "unsigned")
    whole = await typed("rollback", handle.id, "--by", "lee", "--reason", "wrong letter", "--json")
    assert whole.code == 1, whole.err
    assert {call["call_id"]: call["standing"] for call in whole.data["calls"]} == {
        "3.0": "undone",
        "2.0": "left",
        "1.0": "undone",
    }
    assert done_by(whole.data["rollback"]) == ["drop a-1"]
    shown = await typed("show", whole.data["rollback"], "--json")
    assert shown.data["requester"] == "lee"


async def test_halting_with_undo_ends_the_run_and_takes_back_what_it_did(stanchion: Stanchion, typed: Terminal) -> None:
    turns = [TURNS[0], TURNS[2], TURNS[1]]
    handle = await begun(stanchion, turns, "put", "drop", "send")
    await stanchion.approval(handle)
    refused = await typed("rollback", handle.id)
    assert (refused.code, "is not over" in refused.err) == (3, True)
    answer = await typed("halt", "--run", handle.id, "--undo", "--reason", "enough", "--by", "lee", "--json")
    assert answer.code == 0, answer.err
    assert answer.data["reason"] == "halted: by lee: enough"
    undo = answer.data["undo"]
    assert [(call["call_id"], call["standing"]) for call in undo["calls"]] == [
        ("3.0", "never"),
        ("2.0", "undone"),
        ("1.0", "undone"),
    ]
    assert done_by(undo["rollback"]) == ["drop bb-2", "drop a-1"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("halt", "--fleet", "--undo"), 2, "--undo rolls back one run only"),
        (("rollback", "nothing", "--dry-run"), 2, "no run is called"),
        (("rollback", "nothing", "--to", "-1"), 2, "--to"),
        (("rollback",), 2, "RUN"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_a_word_on_why(
    typed: Terminal, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = await typed(*words)
    assert (answer.code, said in answer.err) == (code, True), answer.err


async def test_without_postgres_nothing_is_ordered(typed: Terminal) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    assert (await typed("rollback", "x", DATABASE_URL=nowhere)).code == 5


async def test_an_order_is_signed_where_there_is_a_key_for_it(
    stanchion: Stanchion, typed: Terminal, tmp_path: Path
) -> None:
    handle = await ran(stanchion, TURNS[:1], "put", "drop")
    signer = keys.create(Home(tmp_path / "home"), "lee")
    principals = Principals(stanchion.parts.database)
    await principals.add("default", "lee", [], None, "test")
    await principals.add_key(signer.public, "person", "default", "lee", "test")
    answer = await typed("rollback", handle.id, "--by", "lee", "--json")
    assert (answer.code, answer.data["proof"]) == (0, "signature"), answer.err
    [row] = await stanchion.rows("SELECT by, key, signature IS NOT NULL AS signed FROM rollbacks")
    assert (row["by"], row["key"], row["signed"]) == ("lee", signer.key_id, True)
