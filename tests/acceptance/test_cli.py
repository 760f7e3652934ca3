"""The two commands and the command line, as a newcomer types them, in a state folder of their own."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from tests.harness.stanchion import eventually
from tests.harness.typed import PATIENCE, Terminal
from workers.demo import DECOYS

LEE = "lee@acme.example"  # whom a laptop's bring-up registers with role it


@pytest_asyncio.fixture(scope="module")
async def cli() -> AsyncIterator[Terminal]:
    """`await cli("ls", "--json")`, in a state folder of its own; what it started is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="stanchion-", ignore_cleanup_errors=True) as folder:
        terminal = Terminal(Path(folder) / "home")
        yield terminal
        await terminal("down")


async def test_commands_say_what_is_missing_while_nothing_runs(cli: Terminal) -> None:
    answer = await cli("ls")
    assert (answer.code, answer.out) == (5, "")
    assert "stanchion up" in answer.err


async def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom workers.cli import main\nsys.argv = ['stanchion', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('temporalio', 'asyncpg', 'pydantic', 'anthropic', 'opentelemetry') if m in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "[]"


async def test_the_demo_is_killed_and_comes_back_and_the_witness_counts_what_we_count(cli: Terminal) -> None:
    shown = await cli("demo", "--json")
    assert shown.code == 0, shown.err
    assert shown.data["killed"] is True
    assert shown.data["status"] == "completed"
    assert shown.data["effects"]["claimed"] == shown.data["effects"]["witness"] == 2
    assert shown.data["approvals"] == 1
    assert shown.err.count("second terminal $ stanchion") == 2  # Ana's code, and the yes of IT
    assert shown.data["install"] == shown.data["install"] | {"witness": 1, "approved_by": LEE, "signed": True}
    assert shown.data["attacks_refused"] == 1
    assert shown.data["witness_of_attack"] == 0
    assert shown.data["attack"]["rule"] == "provenance.unanchored"
    assert "dana@acme.example" in shown.data["attack"]["reason"]
    drill = shown.data["drill"]
    assert drill["passed"] and drill["late_effects"] == 0, drill["why"]
    assert (drill["runs"], shown.data["stop_seconds"]) == (DECOYS, drill["max_seconds"])
    assert "5. The off switch" in shown.err


async def test_a_run_is_started_watched_from_the_table_approved_and_shown(cli: Terminal) -> None:
    await cli("up", "--detach")
    started = await cli("run", "it-support", "Take care of ticket 7", "--key", "t7", "--requester", "ana", "--json")
    assert (started.code, started.data) == (0, {"run": "agent/it-support/t7"})
    approval = await asked(cli, "t7")
    assert approval["arguments"] == {"account": "tomas@acme.example", "product": "sql-client"}
    assert approval["waits_for"] == "one of it"
    for nobody in ("ana", "mo"):  # who asked for it, and somebody without the role
        refused = await cli("approve", approval["approval_id"], "--by", nobody, "--json")
        assert (refused.code, refused.data["answer"]) == (3, "not allowed")
    taken = await cli("approve", approval["approval_id"], "--by", LEE, "--json")
    assert (taken.code, taken.data["answer"]) == (0, "accepted")
    again = await cli("approve", approval["approval_id"], "--by", "mo", "--json")
    assert (again.code, again.data["answer"]) == (3, "already decided")
    shown = await over(cli, "t7")
    assert shown["outcome"]["status"] == "completed"
    assert [(a["by"], a["signed"]) for a in shown["approvals"]] == [(LEE, True)]


async def test_whom_a_reset_is_about_confirms_it_with_the_code_on_their_phone(cli: Terminal) -> None:
    places = (await cli("up", "--detach", "--json")).data
    await cli("run", "it-support", "Take care of ticket 3", "--key", "t3")
    approval = await asked(cli, "t3")
    assert approval["waits_for"] == "the code of priya@acme.example"

    async def code() -> Any:
        async with aiohttp.ClientSession(places["Accounts"]) as phone, phone.get("/phone/priya@acme.example") as seen:
            messages = (await seen.json())["messages"]
        return next((m["code"] for m in messages if approval["approval_id"] in m["about"]), None)

    right = await eventually(code, "the code arrives", PATIENCE)
    wrong = await cli("confirm", approval["approval_id"], "--code", str((int(right) + 1) % 10**8), "--json")
    assert (wrong.code, wrong.data["answer"]) == (3, "not allowed")
    taken = await cli("confirm", approval["approval_id"], "--code", right, "--json")
    assert (taken.code, taken.data["answer"]) == (0, "accepted")
    assert (await over(cli, "t3"))["outcome"]["status"] == "completed"


async def asked(cli: Terminal, key: str) -> Any:
    """The approval that a run waits for, as the table shows it."""

    async def listed() -> Any:
        return [a for a in (await cli("approvals", "--json")).data if a["run_id"] == f"agent/it-support/{key}"]

    return (await eventually(listed, "it asks", PATIENCE))[0]


async def over(cli: Terminal, key: str) -> Any:
    """A run as `show` tells it, once it has ended."""

    async def ended() -> Any:
        shown = (await cli("show", key, "--json")).data
        return shown if shown["outcome"] else None

    return await eventually(ended, "it is over", PATIENCE)


async def test_refusals_have_their_exit_codes(cli: Terminal) -> None:
    await cli("up", "--detach")
    unknown = await cli("run", "it-suport", "x")
    assert unknown.code == 2
    assert "did you mean 'it-support'?" in unknown.err
    assert (await cli("run", "it-support", "x", "--usd", "5.00")).code == 2
    assert (await cli("show", "nothing-of-this-name")).code == 2
    assert (await cli("approve", "ap-none")).code == 2
    spent = await cli("run", "it-support", "Take care of ticket 5", "--tool-calls", "1", "--watch", "--json")
    assert (spent.code, spent.data["reason"].split(":")[0]) == (4, "budget.tool_calls")


async def test_halt_stops_a_waiting_run_and_doctor_finds_nothing_wrong(cli: Terminal) -> None:
    await cli("up", "--detach")
    await cli("run", "it-support", "Take care of ticket 2", "--key", "t2")
    halted = await cli("halt", "t2", "--reason", "enough", "--json")
    assert (halted.code, halted.data["status"]) == (0, "stopped")
    assert "enough" in halted.data["reason"]
    checks = await cli("doctor", "--json")
    assert checks.code == 0, checks.out


async def test_two_ups_at_once_start_one_worker(cli: Terminal) -> None:
    await cli("down")
    both = await asyncio.gather(cli("up", "-d", "--json"), cli("up", "-d", "--json"))
    assert [typed.code for typed in both] == [0, 0]
    assert both[0].data == both[1].data
    stopped = await cli("down", "--json")
    assert set(stopped.data["stopped"]) == {"worker", "accounts", "temporal", "postgres"}
    assert (await cli("down", "--json")).data == {"stopped": []}
