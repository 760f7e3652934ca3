"""Claims and halts stand in one order: whatever the interleaving, nothing is claimed once a halt has committed."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from activities.halts.halts import HaltOrder, Halts
from activities.storage.database import StoreUnavailable
from tests.harness.proxy import Proxy
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS
from workers.worker import ROLES, build
from workflows.contracts.calls import CallRequest, Halted

WITHOUT_TOOLS = [role for role in ROLES if role != "tools"]
HALTED_AT_CLAIM = "SELECT halted_at_claim('r', 'a', 't', 'acme')"
ORDER = "SELECT halt_id, in_flight FROM order_halt('halt-1', 'fleet', '', 'lee', '', 'unsigned', NULL, NULL, NULL)"

Connections = list[asyncpg.Connection]


@pytest_asyncio.fixture
async def two(database_url: str) -> AsyncIterator[Connections]:
    """Two connections to the same database."""
    connections = [await asyncpg.connect(database_url) for _ in range(2)]
    yield connections
    for connection in connections:
        connection.terminate()


async def planned(stanchion: Stanchion, count: int = 1) -> list[CallRequest]:
    """Calls that models asked for and nobody performs yet."""
    turns = [{"tools": [{"name": "note", "input": {"text": "a"}}]}, {"text": "done"}]
    agent = await stanchion.publish(turns, "note", "take_back")
    handles = [await stanchion.start(agent) for _ in range(count)]

    async def all_planned() -> bool:
        return bool(await stanchion.value("SELECT count(*) = $1 FROM calls", count))

    await eventually(all_planned, "the calls are planned")
    return [CallRequest(run_id=handle.id, call_id="1.0") for handle in handles]


async def unwatched(stanchion: Stanchion) -> None:
    """Nobody watches any more: only the claim can see a halt."""
    await stanchion.parts.watch.close()
    stanchion.parts.watch.start = lambda: None  # type: ignore[method-assign]


async def test_a_halt_waits_for_a_claim_that_is_half_way(two: Connections) -> None:
    claiming, halting = two
    claim = claiming.transaction()
    await claim.start()
    assert await claiming.fetchval(HALTED_AT_CLAIM) is False
    order = asyncio.create_task(halting.fetchrow(ORDER))
    await _waits_for_the_lock(claiming)
    assert not order.done()
    await claim.commit()
    assert await order


async def test_a_claim_that_began_before_a_halt_committed_sees_it_once_it_did(two: Connections) -> None:
    """The claim's own snapshot is older than the halt: reading in it would miss the halt."""
    claiming, halting = two
    halt = halting.transaction()
    await halt.start()
    await halting.fetchrow(ORDER)
    claim = asyncio.create_task(claiming.fetchval(HALTED_AT_CLAIM))
    await _waits_for_the_lock(halting)
    assert not claim.done()
    await halt.commit()
    assert await claim is True


async def test_read_in_the_snapshot_of_the_claims_own_statement_the_halt_would_be_missed(two: Connections) -> None:
    """The control of the test above: the same function, STABLE instead of VOLATILE."""
    claiming, halting = two
    await halting.execute("ALTER FUNCTION halted_at_claim STABLE")
    halt = halting.transaction()
    await halt.start()
    await halting.fetchrow(ORDER)
    claim = asyncio.create_task(claiming.fetchval(HALTED_AT_CLAIM))
    await _waits_for_the_lock(halting)
    await halt.commit()
    assert await claim is False


async def test_a_claim_that_hangs_does_not_hold_up_a_halt_and_fails(two: Connections) -> None:
    hanging, halting = two
    await hanging.execute("BEGIN")
    await hanging.fetchval(HALTED_AT_CLAIM)  # and its worker is never heard of again
    assert await halting.fetchrow(ORDER)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
        await hanging.execute("COMMIT")


async def test_what_was_claimed_is_in_the_list_and_what_was_not_is_never_claimed(systems: Any) -> None:
    """Many claims race with a halt of the fleet; where each landed is told by the halt's own list."""
    stanchion = await systems().up(WITHOUT_TOOLS)
    calls = await planned(stanchion, 12)
    halting = Halts(stanchion.parts.database, stanchion.parts.authority)
    dice = random.Random(5)

    async def later(call: CallRequest) -> Any:
        await asyncio.sleep(dice.random() * 0.1)
        return await stanchion.parts.gateway.call(call)

    attempts = [asyncio.create_task(later(call)) for call in calls]
    await asyncio.sleep(0.05)
    halt = await halting.order(HaltOrder(scope="fleet", by="lee"))
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]
    claimed_after = await stanchion.value(
        "SELECT count(*) FROM events e WHERE e.kind = 'call.claimed' AND e.at > $1", halt.at
    )
    listed = {effect["run_id"] for effect in halt.in_flight}
    started = {call.run_id for call in calls if WITNESS[f"{call.run_id}/1.0"]}
    settled = {r["run_id"] for r in await stanchion.rows("SELECT run_id FROM effects WHERE settled_at < $1", halt.at)}
    assert claimed_after == 0
    assert started <= listed | settled
    assert any(isinstance(answer, Halted) for answer in answers)


async def test_a_halt_between_verdict_and_claim_is_seen_by_the_claim(systems: Any) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def checkpoint(where: str) -> None:
        if where == "before-claim":
            reached.set()
            await go_on.wait()

    stanchion = await systems(checkpoint=checkpoint).up(WITHOUT_TOOLS)
    [call] = await planned(stanchion)
    await unwatched(stanchion)
    attempt = asyncio.create_task(stanchion.parts.gateway.call(call))
    await reached.wait()
    await Halts(stanchion.parts.database).order(HaltOrder(scope="run", target=call.run_id, by="lee"))
    go_on.set()
    answer = await attempt
    assert isinstance(answer, Halted) and answer.halt.scope == "run"
    assert WITNESS[f"{call.run_id}/1.0"] == 0


async def test_without_the_claims_look_at_halts_the_effect_would_happen(systems: Any) -> None:
    """The control of the test above, broken on purpose."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def checkpoint(where: str) -> None:
        if where == "before-claim":
            reached.set()
            await go_on.wait()

    stanchion = await systems(checkpoint=checkpoint).up(WITHOUT_TOOLS)
    [call] = await planned(stanchion)
    await stanchion.rows(BLIND)
    await unwatched(stanchion)
    attempt = asyncio.create_task(stanchion.parts.gateway.call(call))
    await reached.wait()
    await Halts(stanchion.parts.database).order(HaltOrder(scope="run", target=call.run_id, by="lee"))
    go_on.set()
    await attempt
    assert WITNESS[f"{call.run_id}/1.0"] == 1


async def test_where_the_claim_cannot_look_at_halts_nothing_is_performed(systems: Any) -> None:
    stanchion = await systems().up(WITHOUT_TOOLS)
    [call] = await planned(stanchion)
    await stanchion.rows("ALTER FUNCTION halted_at_claim RENAME TO gone")
    with pytest.raises(asyncpg.PostgresError):
        await stanchion.parts.gateway.call(call)
    assert WITNESS[f"{call.run_id}/1.0"] == 0


async def test_while_postgres_is_down_nothing_is_performed(systems: Any, database_url: str) -> None:
    stanchion = await systems().up(WITHOUT_TOOLS)
    [call] = await planned(stanchion)
    proxy = await Proxy(database_url).up()
    cut_off = systems()
    cut_off.parts = build(cut_off.settings, proxy.url)
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        await cut_off.parts.gateway.call(call)
    await proxy.down()
    assert WITNESS[f"{call.run_id}/1.0"] == 0


BLIND = """CREATE OR REPLACE FUNCTION halted_at_claim(of_run text, of_agent text, of_tool text, of_tenant text)
RETURNS boolean LANGUAGE sql AS 'SELECT false'"""


async def _waits_for_the_lock(connection: asyncpg.Connection) -> None:
    """Somebody waits for the lock that orders claims and halts."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    async def one() -> bool:
        return bool(await connection.fetchval(waiting))

    await eventually(one, "somebody waits for the lock", 0.24)
