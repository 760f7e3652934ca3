"""`stanchion caps` and `stanchion cost`, typed as people type them, on a database with runs in it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.activities import shop
from tests.activities.spending import Crowd
from tests.harness.stanchion import Stanchion
from workers.services import Services

pytestmark = pytest.mark.slow

Typed = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def system(systems: Callable[..., Stanchion]) -> Stanchion:
    return systems()


@pytest.fixture
def typed(services: Services, system: Stanchion, tmp_path: Any) -> Typed:
    """`await typed("cost", "--json")`: exit code, standard output, standard error."""
    places = {"DATABASE_URL": system.database_url, "TEMPORAL_ADDRESS": services.temporal.address}
    environment = {**os.environ, **places, "STANCHION_HOME": str(tmp_path)}

    async def command(*words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.cli", *words),
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    return command


async def test_a_cap_that_is_typed_is_in_force_listed_and_gone_again(system: Stanchion, typed: Typed) -> None:
    words = ("calls", "--tenant", "acme", "--scope", "agent", "--class", "write", "--per", "hour")
    code, _, err = await typed("caps", "set", words[0], "1", *words[1:], "--by", "lee")
    assert code == 0, err
    crowd = Crowd([system])
    run_id = await crowd.open(await system.publish([], "note", "take_back"), tenant="acme")
    await crowd.plan(run_id, "note", [{"text": "a"}, {"text": "b"}])
    assert sorted(str(getattr(each, "rule", each.kind)) for each in await crowd.put()) == [
        "budget.calls.agent.hour",
        "observed",
    ]
    code, out, _ = await typed("caps", "ls", "--tenant", "acme", "--json")
    rows = json.loads(out)
    [own] = [row for row in rows if row["level"] == "tenant"]
    assert (own["cap"], own["class"], own["by"]) == (1, "write", "lee")
    assert {row["class"] for row in rows if row["level"] == "platform"} >= {"send", "money", "admin", "exec"}
    assert (await typed("caps", "rm", *words))[0] == 0
    assert (await typed("caps", "rm", *words))[0] == 2


NONSENSE = [
    (("calls", "-1"), ""),
    (("calls", "nan"), ""),
    (("calls", "1e3"), ""),
    (("calls", "1000000000000000001"), "from 0 to"),
    (("euros", "1"), "none of"),
    (("calls", "1", "--per", "week"), "none of"),
    (("tokens", "1", "--class", "send"), "leave the class out"),
    (("calls", "1", "--class", "sends"), "no class of calls"),
    (("slots", "1"), "per total"),
    (("calls", "1", "--scope", "run"), "scope run goes with period run"),
]


async def test_a_cap_that_would_limit_nothing_is_a_usage_error(typed: Typed) -> None:
    answers = await asyncio.gather(*(typed("caps", "set", *words) for words, _ in NONSENSE))
    assert [code for code, _, _ in answers] == [2] * len(NONSENSE)
    assert [said for (_, said), (_, _, err) in zip(NONSENSE, answers, strict=True) if said not in err] == []


async def test_who_types_a_cap_wider_than_the_platforms_is_told_that_it_changes_nothing(typed: Typed) -> None:
    code, _, err = await typed("caps", "set", "calls", "9999999", "--class", "send")
    assert code == 0 and "the platform allows only 5,000" in err


async def test_cost_shows_what_was_spent_is_reserved_and_is_left(system: Stanchion, typed: Typed) -> None:
    await typed("caps", "set", "micro-usd", "5000000", "--per", "month", "--scope", "agent")
    crowd = Crowd([system])
    agent = await system.publish([], "order", module=shop.MODULE, budget={"usd": "1.00"})
    name = agent.definition.name
    run_id = await crowd.open(agent)
    await system.rows("UPDATE steps SET usd_micros = 250000, plan = '{\"tokens\": 1200}'")
    place = "'default', $2, $3, 'micro-usd', '*', $4, ledger_start($4, now())"
    put = f"INSERT INTO windows SELECT ledger_window({place}), {place}, $5, 250000, 50000 WHERE $1 = ''"
    await system.rows(put, "", "run", run_id, "run", 1_000_000)
    await system.rows(put, "", "agent", name, "month", 5_000_000)

    async def cost(*words: str) -> dict[str, Any]:
        code, out, err = await typed("cost", *words, "--json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    [run] = (await cost())["rows"]
    assert (run["name"], run["spent"], run["reserved"], run["left"]) == (run_id, "0.25", "0.05", "0.70")
    assert (run["per_hour"], run["tokens"]) == ("0.25", 1_200)
    one = await cost(run_id.rpartition("/")[2])
    assert {(w["unit"], w["left"]) for w in one["windows"]} >= {("micro-usd", 700_000), ("minutes", 0)}
    [of_agent] = (await cost(name, "--agent"))["rows"]
    assert (of_agent["spent"], of_agent["left"]) == ("0.25", "4.70")
    [of_tenant] = (await cost("--tenant", "--per", "month"))["rows"]
    assert (of_tenant["name"], of_tenant["spent"], of_tenant["left"]) == ("default", "0.25", None)
    [of_model] = (await cost("--model"))["rows"]
    assert of_model["name"] == agent.definition.model and of_model["spent"] == "0.25"
    code, out, _ = await typed("cost", run_id)
    assert code == 0 and "budgets" in out and "0.70" in out
    assert (await typed("cost", "--agent", "--tool"))[0] == 2
    assert (await typed("cost", "no-such-run"))[0] == 2


async def test_cost_by_tool_counts_calls_and_money_by_currency(system: Stanchion, typed: Typed) -> None:
    hold = """
        INSERT INTO holds (hold_id, run_id, window_ids, units, reserved, settled, state, expires_at)
        SELECT $1 || '/' || $2, $1, '{}', '{calls,minor:EUR,minor:EUR}', '{1,700,700}', $3, $4, now()"""
    effect = """
        INSERT INTO effects (run_id, call_id, tool, contract, effect, fence, state, digest, worker, settled_at)
        VALUES ($1, $2, 'order', 'idempotent', 'money', 1, $3, '', '', now())"""
    for call, state, hold_state, used in (
        ("1.0", "settled", "settled", [1, 500, 500]),
        ("2.0", "claimed", "reserved", [0, 0, 0]),
    ):
        await system.rows(effect, "r", call, state)
        await system.rows(hold, "r", call, used, hold_state)
    code, out, err = await typed("cost", "--tool", "--json")
    assert code == 0, err
    [row] = json.loads(out)["rows"]
    assert (row["calls"], row["under_way"], row["money"]) == (1, 1, {"EUR": 1_200})
