"""With the store away nothing is performed: not without its answer, not on half of it, and once it is back, once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from activities.gateway.evaluation.evidence import EvidenceReader
from activities.policy.cedar.store import Policies
from activities.storage.database import SchemaMissing, StoreUnavailable
from tests.harness.door import Call, Door
from tests.harness.outcomes import done
from tests.harness.proxy import Proxy


async def unasked(door: Door) -> Call:
    """A reversible write in a clean run: nobody has to be asked."""
    run = await door.open(await door.publish("note", "send"))
    return (await door.plan(run, ("note", {"text": "hello"})))[0]


async def approved(door: Door) -> Call:
    """A message that someone has approved."""
    run = await door.open(await door.publish("note", "send"))
    call = (await door.plan(run, ("send", {"to": "ann@acme.example"})))[0]
    await door.approved(call)
    return call


BOTH = pytest.mark.parametrize("made", [unasked, approved], ids=["nobody asks", "approved"])


@pytest_asyncio.fixture
async def line(database_url: str) -> AsyncIterator[Proxy]:
    """The line to the database, which a test cuts."""
    proxy = await Proxy(database_url).up()
    yield proxy
    await proxy.down()


def cutting(line: Proxy, at: str) -> Any:
    """A checkpoint that cuts the line there, once."""
    left = [at]

    async def checkpoint(where: str) -> None:
        if where in left:
            left.remove(where)
            line.cut()

    return checkpoint


@BOTH
async def test_with_the_store_away_nothing_is_performed_until_it_is_back(door: Door, line: Proxy, made: Any) -> None:
    call = await made(door)
    away = door.another(url=line.url)
    line.cut()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await away.call(call)
    assert call.happened == 0
    line.mend()
    assert done(await away.call(call))
    assert call.happened == 1


@BOTH
async def test_the_store_going_away_before_the_claim_leaves_nothing_performed(
    door: Door, line: Proxy, made: Any
) -> None:
    call = await made(door)
    away = door.another(cutting(line, "before-claim"), url=line.url)
    with pytest.raises(StoreUnavailable):
        await away.call(call)
    assert (call.happened, await door.value("SELECT count(*) FROM effects")) == (0, 0)
    line.mend()
    assert done(await away.call(call))
    assert call.happened == 1


READ = {"the policies": (Policies, "in_force"), "the evidence": (EvidenceReader, "read")}


@BOTH
@pytest.mark.parametrize("what", READ)
async def test_the_store_going_away_between_two_reads_is_no_yes(
    door: Door, line: Proxy, made: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, reader = await made(door), getattr(*READ[what])

    async def too_late(*given: Any) -> Any:
        line.cut()
        return await reader(*given)

    monkeypatch.setattr(*READ[what], too_late)
    with pytest.raises(StoreUnavailable):
        await door.another(url=line.url).call(call)
    assert (call.happened, await door.value("SELECT count(*) FROM effects")) == (0, 0)


@BOTH
@pytest.mark.parametrize("table", ["policy_heads", "policies", "endorsements"])
async def test_a_table_that_is_gone_is_no_yes(door: Door, made: Any, table: str) -> None:
    call = await made(door)
    await door.execute(f"DROP TABLE {table} CASCADE")
    with pytest.raises(SchemaMissing):
        await door.another().call(call)
    assert (call.happened, await door.value("SELECT count(*) FROM effects")) == (0, 0)
