"""Policies in force: the strictest holds, and whatever is wrong with one denies."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from activities.policy.cedar import store
from activities.policy.cedar.policy import PolicyInvalid, PolicyRequest, ToolShape
from activities.policy.cedar.store import DEFAULT, Policies, PolicyMissing, install_default, version_of
from activities.policy.engine.verdicts import Allow, Ask, Deny
from activities.storage.database import Database, StoreUnavailable

PERMIT = "permit (principal, action, resource);"
STOP = f'{PERMIT} @id("stop") forbid (principal, action, resource);'
ASK = f'{PERMIT} @id("look") @ask forbid (principal, action, resource);'
TOOLS = [ToolShape("look", "T0", "read", {"type": "object", "properties": {"what": {"type": "string"}}})]
QUESTION = PolicyRequest("helper", "acme", "look", {"what": "x"}, "T0", "read", "tiered", "ana", False, False)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, as it is before the default is installed."""
    database = Database(database_url)
    await execute(database, "TRUNCATE policies, policy_heads")
    yield database
    await database.close()


@pytest.fixture
def policies(database: Database) -> Policies:
    """The policies under test."""
    return Policies(database)


async def put(policies: Policies, scope: str, text: str, **more: Any) -> str:
    """Set a policy that fits."""
    return await policies.set(scope, text, by="lee", tools=TOOLS, **more)


async def execute(database: Database, sql: str, *arguments: Any) -> Any:
    """Any statement."""
    return await (await database.pool()).fetchval(sql, *arguments)


async def store_unchecked(database: Database, scope: str, text: str) -> str:
    """As a policy would be that was set before some check was there."""
    version = version_of(scope, text, 0)
    await store.SQL["put"].row(database, version=version, scope=scope, text=text, money_floor=0, by="lee")
    return version


async def test_without_the_platforms_policy_everything_is_denied(policies: Policies) -> None:
    await put(policies, "acme", PERMIT)
    verdict = (await policies.effective("acme")).decide(QUESTION)
    assert (type(verdict), verdict.rule) == (Deny, "policy.missing")
    await put(policies, "*", PERMIT)
    assert isinstance((await policies.effective("acme")).decide(QUESTION), Allow)


@pytest.mark.parametrize(
    ("platform", "tenant", "kind"),
    [(PERMIT, PERMIT, Allow), (PERMIT, ASK, Ask), (ASK, PERMIT, Ask), (STOP, PERMIT, Deny), (ASK, STOP, Deny),
     (PERMIT, None, Allow), (STOP, None, Deny)],
)  # fmt: skip
async def test_the_strictest_of_platform_and_tenant_holds(
    policies: Policies, platform: str, tenant: str | None, kind: type
) -> None:
    await put(policies, "*", platform)
    if tenant:
        await put(policies, "acme", tenant)
    assert isinstance((await policies.effective("acme")).decide(QUESTION), kind)


async def test_a_tenants_policy_holds_for_no_other(policies: Policies) -> None:
    await put(policies, "*", PERMIT)
    stopping = await put(policies, "acme", STOP)
    assert isinstance((await policies.effective("other")).decide(QUESTION), Allow)
    platform = (await policies.heads("other"))[0]
    mixed = await policies.in_force("other", [platform, stopping])
    assert (type(mixed.decide(QUESTION)), mixed.decide(QUESTION).rule) == (Deny, "policy.error")


@pytest.mark.parametrize("text", ["", "nonsense", "forbid (principal, action, resource);", PERMIT[:-1], "(" * 9_000])
@pytest.mark.parametrize("scope", ["*", "acme"])
async def test_a_stored_text_that_cannot_be_used_denies(policies: Policies, scope: str, text: str) -> None:
    await put(policies, "*", PERMIT)
    await store_unchecked(policies._database, scope, text)
    verdict = (await policies.effective("acme")).decide(QUESTION)
    assert (type(verdict), verdict.rule) == (Deny, "policy.error")


@pytest.mark.parametrize("change", ["text = text || ' '", "money_floor = 1000000", "scope = 'acme'"])
async def test_a_row_that_someone_changed_denies(database: Database, change: str) -> None:
    await put(Policies(database), "*", PERMIT)
    await put(Policies(database), "acme", PERMIT)
    assert isinstance((await Policies(database).effective("acme")).decide(QUESTION), Allow)
    await execute(database, f"UPDATE policies SET {change} WHERE scope = '*'")
    verdict = (await Policies(database).effective("acme")).decide(QUESTION)
    assert (type(verdict), verdict.rule) == (Deny, "policy.error")
    assert "changed" in verdict.reason


async def test_a_version_that_is_not_there_denies(policies: Policies) -> None:
    await put(policies, "*", PERMIT)
    effective = await policies.in_force("acme", [*await policies.heads("acme"), "f" * 64])
    assert (type(effective.decide(QUESTION)), effective.decide(QUESTION).rule) == (Deny, "policy.error")


async def test_nothing_in_force_is_not_everything_permitted(policies: Policies) -> None:
    assert (await policies.in_force("acme", [])).decide(QUESTION).rule == "policy.missing"


async def test_an_evaluation_that_throws_denies_though_others_permit(
    policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(policies, "*", PERMIT)
    effective = await policies.effective("acme")
    monkeypatch.setattr("activities.policy.cedar.policy.is_authorized", lambda *_: 1 / 0)
    verdict = effective.decide(QUESTION)
    assert (type(verdict), verdict.rule) == (Deny, "policy.error")


async def test_a_store_that_is_down_is_said_to_be_down() -> None:
    gone = Policies(Database("postgresql://nobody@127.0.0.1:9/nothing"))
    with pytest.raises(StoreUnavailable):
        await gone.effective("acme")
    with pytest.raises(StoreUnavailable):
        await gone.in_force("acme", ["f" * 64])
    with pytest.raises(StoreUnavailable):
        await put(gone, "*", PERMIT)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "permits nothing"),
        (f'{PERMIT} forbid (principal, action == Action::"lok", resource);', "lok"),
        (f"{PERMIT} forbid (principal, action, resource) when {{ context.arguments.when == 1 }};", "when"),
        (f"{PERMIT} forbid (principal, action, resource) when {{ context.arguments has when }};", "never holds"),
    ],
)
async def test_a_policy_that_does_not_fit_is_refused_and_the_old_one_stays(
    policies: Policies, text: str, problem: str
) -> None:
    before = await put(policies, "*", STOP)
    with pytest.raises(PolicyInvalid, match=problem):
        await put(policies, "*", text)
    assert await policies.heads("acme") == [before]
    assert await execute(policies._database, "SELECT count(*) FROM policies") == 1


@pytest.mark.parametrize(("scope", "floor"), [("", 0), (" ", 0), ("*", -1), ("*", 2**63)])
async def test_a_scope_and_a_floor_that_make_no_sense_are_refused(policies: Policies, scope: str, floor: int) -> None:
    with pytest.raises(PolicyInvalid):
        await put(policies, scope, PERMIT, money_floor=floor)


async def test_the_tenants_own_floor_holds(policies: Policies) -> None:
    await put(policies, "*", PERMIT, money_floor=5_000)
    assert (await policies.effective("acme")).money_floor == 5_000
    await put(policies, "acme", PERMIT, money_floor=9_000)
    assert (await policies.effective("acme")).money_floor == 9_000
    assert (await policies.effective("other")).money_floor == 5_000
    await put(policies, "acme", PERMIT, money_floor=100)
    assert (await policies.effective("acme")).money_floor == 100


async def test_a_policy_that_is_set_without_a_floor_keeps_the_one_in_force(policies: Policies) -> None:
    await put(policies, "*", PERMIT)
    assert (await policies.effective("acme")).money_floor == 0
    await put(policies, "*", PERMIT, money_floor=5_000)
    await put(policies, "*", ASK)
    await put(policies, "acme", PERMIT)
    assert (await policies.effective("acme")).money_floor == 5_000
    await put(policies, "acme", PERMIT, money_floor=0)
    await put(policies, "acme", ASK)
    assert (await policies.effective("acme")).money_floor == 0
    assert (await policies.effective("other")).money_floor == 5_000


async def test_whatever_changes_is_another_version(policies: Policies) -> None:
    versions = []
    for scope, text, floor in (("*", PERMIT, 0), ("*", PERMIT, 1), ("*", ASK, 1), ("acme", PERMIT, 0)):
        await put(policies, scope, text, money_floor=floor)
        versions.append((await policies.effective("acme")).version)
    assert len(set(versions)) == 4
    assert versions[0] != (await policies.effective("other")).version


async def test_a_new_policy_holds_for_the_next_call_on_every_worker(database: Database) -> None:
    mine, yours = Policies(database), Policies(database)
    await put(mine, "*", PERMIT)
    assert isinstance((await yours.effective("acme")).decide(QUESTION), Allow)
    await put(mine, "*", STOP)
    assert isinstance((await yours.effective("acme")).decide(QUESTION), Deny)


async def test_a_version_is_read_and_parsed_once(policies: Policies, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(policies, "*", PERMIT)
    reader, reads = Policies(policies._database), []
    parse = store.load
    monkeypatch.setattr(store, "load", lambda *a, **k: reads.append(1) or parse(*a, **k))
    for _ in range(3):
        await reader.effective("acme")
    assert len(reads) == 1


async def test_an_earlier_version_can_be_put_back_whatever_the_tools_are_now(policies: Policies) -> None:
    first = await put(policies, "*", f'{PERMIT} forbid (principal, action == Action::"look", resource);')
    second = await put(policies, "*", PERMIT)
    assert await policies.heads("acme") == [second]
    await policies.put_back(first, by="lee@acme.example")
    assert await policies.heads("acme") == [first]
    assert isinstance((await policies.effective("acme")).decide(QUESTION), Deny)
    with pytest.raises(PolicyMissing):
        await policies.put_back("f" * 64, by="lee@acme.example")


async def test_setting_the_same_again_puts_it_in_force_and_keeps_who_set_it_first(policies: Policies) -> None:
    first = await put(policies, "*", PERMIT)
    await put(policies, "*", STOP)
    assert await policies.set("*", PERMIT, by="another", tools=TOOLS) == first
    assert await policies.heads("acme") == [first]
    assert await execute(policies._database, "SELECT by FROM policies WHERE version = $1", first) == "lee"


async def test_a_policy_that_the_tools_have_left_behind_is_found(policies: Policies) -> None:
    version = await put(policies, "acme", f"{PERMIT} forbid (principal, action, resource) when {{ context.tainted }};")
    guarded = await put(
        policies, "*", f"{PERMIT} forbid (principal, action, resource) when {{ context.arguments has what }};"
    )
    assert await policies.misfits(TOOLS) == {}
    renamed = [ToolShape("look", "T0", "read", {"type": "object", "properties": {"which": {"type": "string"}}})]
    wrong = await policies.misfits(renamed)
    assert set(wrong) == {guarded}
    assert version not in wrong and "never holds" in wrong[guarded]


async def test_the_default_is_installed_once_and_never_over_another(database: Database) -> None:
    assert await install_default(database) == version_of("*", DEFAULT.read_text(encoding="utf-8"), 0)
    assert await install_default(database) is None
    assert isinstance((await Policies(database).effective("acme")).decide(QUESTION), Allow)
    mine = await put(Policies(database), "*", STOP)
    assert await install_default(database) is None
    assert await Policies(database).heads("acme") == [mine]


async def test_two_bootstraps_at_once_install_one_default(database: Database) -> None:
    made = await asyncio.gather(*(install_default(database) for _ in range(8)))
    assert len([version for version in made if version]) == 1
    assert await execute(database, "SELECT count(*) FROM policies") == 1
    assert len(await Policies(database).heads("acme")) == 1


async def test_two_policies_set_at_once_leave_one_of_them_in_force(policies: Policies) -> None:
    texts = [f"{PERMIT} // {i}" for i in range(8)]
    versions = await asyncio.gather(*(put(policies, "*", text) for text in texts))
    assert set(await policies.heads("acme")) <= set(versions)
    assert len(await policies.heads("acme")) == 1


def test_the_name_of_a_version_is_the_digest_of_what_it_says() -> None:
    assert version_of("*", "a", 1) == hashlib.sha256(b'["*","a",1]').hexdigest()
