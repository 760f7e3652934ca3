"""`stanchion principals` and `stanchion keys`: a key made here proves what its owner says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activities.identity.principals import (
    Principals,
)
from activities.identity.proof import Proven
from activities.identity.signatures import decode_public, encode_public, new_key, public_bytes
from activities.storage.database import Database, StoreUnavailable
from tests.harness.proving import LEE, Scene, approve, refused
from workers import keys as private_keys
from workers.cli import registries
from workers.cli.people import principals as cli
from workers.services import Home, Services

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def principals(database_url: str) -> AsyncIterator[Principals]:
    """Who is registered in this test's database: nobody yet."""
    database = Database(database_url)
    yield Principals(database)
    await database.close()


Typed = Callable[..., Any]


@pytest.fixture
def typed(
    services: Services,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Typed:
    """`await typed(body, *arguments)`: what the command prints as JSON, in a state folder of its own."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", services.temporal.address)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("STANCHION_HOME", str(tmp_path / "home"))

    async def type_it(body: Callable[..., None], *arguments: Any) -> Any:
        await asyncio.to_thread(body, *arguments, True)
        return json.loads(capsys.readouterr().out)

    return type_it


async def test_a_key_that_is_made_here_proves_what_its_owner_says(typed: Typed, principals: Principals) -> None:
    added = await typed(cli.add, LEE, ["it"], "acme", "U1", None, "root")
    assert (added["name"], added["roles"], added["slack_user"]) == (LEE, ["it"], "U1")
    made = await typed(cli.new_key, LEE, False, "acme", False, "root")
    assert made["file"] == str(private_keys.path_of(Home.locate(), LEE))
    signer = private_keys.load(Home.locate(), LEE)
    assert (signer.key_id, signer.public) == (made["key"], decode_public(made["public"]))
    scene = Scene(principals, lee=signer)
    assert isinstance(await scene.prove(signer.decision(approve())), Proven)
    assert [(key["key"], key["kind"]) for key in await typed(registries.keys, None)] == [(made["key"], "person")]
    assert (await typed(cli.revoke_key, made["key"]))["revoked_at"]
    assert "is revoked" in refused(await scene.prove(signer.decision(approve())))
    assert (await typed(cli.revoke, LEE, "acme"))["revoked_at"]
    assert [person["revoked_at"] is None for person in await typed(registries.principals, None)] == [False]


async def test_no_key_is_made_for_someone_who_is_not_registered(
    typed: Typed, principals: Principals, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        await typed(cli.new_key, LEE, False, "acme", False, "root")
    assert ended.value.code == 2
    assert f"stanchion principals add {LEE} --tenant 'acme'" in capsys.readouterr().err
    assert not private_keys.path_of(Home.locate(), LEE).exists()
    assert await principals.keys() == []


async def test_a_key_that_could_not_be_registered_leaves_no_file(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*arguments: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(Principals, "add_key", down)
    with pytest.raises(SystemExit) as ended:
        await typed(cli.new_key, "slack", True, "acme", False, "root")
    assert ended.value.code == 5
    assert not private_keys.path_of(Home.locate(), "slack").exists()


async def test_a_key_made_elsewhere_is_registered_by_its_public_half(typed: Typed, principals: Principals) -> None:
    slack = await typed(cli.new_key, "slack", True, "acme", True, None)
    assert slack["registered"] is False
    assert await principals.keys() == []
    surface = await typed(cli.add_key, slack["public"], None, True, "acme", "root")
    assert (surface["key"], surface["kind"]) == (slack["key"], "surface")
    theirs = encode_public(public_bytes(new_key()))
    added = await typed(cli.add, LEE, ["it"], "acme", None, theirs, "root")
    assert {key.key: key.principal for key in await principals.keys()} == {slack["key"]: None, added["key"]: LEE}
    with pytest.raises(SystemExit):
        await typed(cli.add_key, theirs, None, False, "acme", "root")
    with pytest.raises(SystemExit):
        await typed(cli.add, LEE, ["it"], "acme", None, "no key", "root")
