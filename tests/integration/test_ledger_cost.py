"""`stanchion cost` against sums done by hand: of answers that were paid, of one that got lost, and of nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from activities.agents.versions import AgentVersion
from activities.ledger.ledger import SQL
from activities.model.errors import ModelAnswerGarbled
from tests.fakes.anthropic_api import FakeAnthropic, Raw, Streamed, text
from tests.harness.stanchion import Stanchion, unique
from workflows.contracts.budgets import micros_to_usd
from workflows.contracts.model import PlanRequest
from workflows.contracts.runs import OpenRequest, RunRequest

pytestmark = pytest.mark.slow

Typed = Callable[..., Awaitable[tuple[int, str, str]]]
MODEL = "anthropic:claude-haiku-4-5"
USED = 1_000 + 200 * 5  # micro-USD of one answer below, by the price list
ANSWER = Streamed((text("done"),), "end_turn", {"input_tokens": 1_000, "output_tokens": 1}, {"output_tokens": 200})
LOST = Raw(b"event: message_start\ndata: {")
CAP = 5_000_000


@pytest.fixture
def system(systems: Callable[..., Stanchion], api: FakeAnthropic) -> Stanchion:
    return systems(anthropic_api_key="k", anthropic_base_url=api.base_url)


@pytest.fixture
def environment(system: Stanchion, tmp_path: Any) -> dict[str, str]:
    """Postgres alone: what was spent is known without Temporal."""
    return {**os.environ, "DATABASE_URL": system.database_url, "STANCHION_HOME": str(tmp_path)}


@pytest.fixture
def typed(environment: dict[str, str]) -> Typed:
    """`await typed("--json")`: exit code, standard output, standard error of `stanchion cost`."""

    async def command(*words: str, **more: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.cli", "cost", *words),
            env=environment | more, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    return command


async def asked(system: Stanchion, agent: AgentVersion) -> str:
    """A run whose model was asked once."""
    run_id = f"agent/{agent.definition.name}/{unique('run')}"
    request = RunRequest(agent=agent.definition.name, goal="do it")
    await system.parts.runs.open(OpenRequest(run_id=run_id, chain_id=run_id, request=request))
    try:
        await system.parts.models.plan(PlanRequest(run_id=run_id, step=1, next_seq=1))
    except ModelAnswerGarbled:
        pass
    return run_id


async def test_what_was_paid_what_a_lost_answer_holds_and_what_is_left_are_the_sums_of_a_calculation_by_hand(
    system: Stanchion, api: FakeAnthropic, typed: Typed
) -> None:
    place = {"tenant": "default", "key": "*", "unit": "micro-usd", "class": "*", "period": "month"}
    for scope in ("agent", "tenant"):
        await SQL["set_cap"].row(system.parts.database, cap=CAP, by="lee", scope=scope, **place)
    agent = await system.publish(MODEL, budget={"usd": "1.00"})
    api.will(ANSWER, ANSWER, LOST)
    paid = [await asked(system, agent), await asked(system, agent)]
    lost = await asked(system, agent)
    [hold] = await system.rows("SELECT * FROM holds WHERE hold_id = $1", f"{lost}/step:1")
    ceiling = dict(zip(hold["units"], hold["reserved"], strict=True))["micro-usd"]
    usd = micros_to_usd

    async def rows(*words: str) -> dict[str, tuple[Any, ...]]:
        code, out, err = await typed(*words, "--json")
        assert code == 0, err
        found = json.loads(out)
        assert set(found) == {"by", "per", "rows", "windows"}
        return {r["name"]: (r["spent"], r["reserved"], r["left"], r["per_hour"], r["tokens"]) for r in found["rows"]}

    one = (usd(USED), "0.00", usd(1_000_000 - USED), usd(USED), 1_200)
    assert await rows() == {
        paid[0]: one,
        paid[1]: one,
        lost: ("0.00", usd(ceiling), usd(1_000_000 - ceiling), "0.00", 0),
    }
    all_three = (usd(2 * USED), usd(ceiling), usd(CAP - 2 * USED - ceiling), usd(2 * USED), 2_400)
    assert await rows("--agent") == {agent.definition.name: all_three}
    assert await rows("--tenant", "--per", "hour") == {"default": all_three}
    assert await rows("--model", "--per", "total") == {MODEL: (*all_three[:2], None, *all_three[3:])}
    assert await rows("somebody", "--agent") == {}


async def test_people_read_money_in_dollars_and_programs_in_the_unit_that_is_named(
    system: Stanchion, api: FakeAnthropic, typed: Typed
) -> None:
    api.will(ANSWER)
    run_id = await asked(system, await system.publish(MODEL, budget={"usd": "1.00"}))
    _, out, _ = await typed(run_id.rpartition("/")[2])
    [line] = [line.split() for line in out.splitlines() if line.startswith("run ") and " usd " in line]
    assert line[4:] == ["1.00", micros_to_usd(USED), "0.00", micros_to_usd(1_000_000 - USED)]
    _, out, _ = await typed(run_id, "--json")
    [window] = [window for window in json.loads(out)["windows"] if window["unit"] == "micro-usd"]
    assert (window["cap"], window["spent"], window["reserved"], window["left"]) == (1_000_000, USED, 0, 998_000)


async def test_where_nothing_was_used_there_is_nothing_to_show_and_an_unknown_run_is_a_usage_error(
    typed: Typed, tmp_path: Any
) -> None:
    code, out, err = await typed("--json")
    assert (code, json.loads(out)["rows"]) == (0, [])
    code, out, err = await typed()
    assert (code, out) == (0, "") and "nothing was used" in err
    code, out, err = await typed("no-such-run", "--json")
    assert (code, out) == (2, "") and "no run is called 'no-such-run'" in err
    assert (await typed("--per", "week"))[0] == 2
    assert (await typed("--agent", "--tenant"))[0] == 2
    nowhere = f"postgresql:///x?host={tmp_path}"
    code, out, err = await typed(DATABASE_URL=nowhere)
    assert (code, out) == (5, "") and "Postgres" in err


async def test_watching_shows_it_again_until_it_is_interrupted(
    system: Stanchion, api: FakeAnthropic, environment: dict[str, str]
) -> None:
    api.will(ANSWER)
    agent = await system.publish(MODEL)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.cli", "cost", "--agent", "--watch", "--json"),
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where whoever tests ignores it
    )  # fmt: skip
    assert process.stdout

    async def spent() -> list[str]:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        return [row["spent"] for row in json.loads(line)["rows"]]

    assert await spent() == []
    await asked(system, agent)
    while not (seen := await spent()):
        pass
    assert seen == [micros_to_usd(USED)]
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 60) == 130
