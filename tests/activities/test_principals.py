"""Principals and keys: who is known, whose word is proved, and that a revocation counts at once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from activities.identity.principals import (
    KeyTaken,
    KeyUnknown,
    PrincipalInvalid,
    Principals,
    PrincipalUnknown,
    SlackUserTaken,
)
from activities.identity.proof import Principal, Proven, Unproven, canonical_name
from activities.identity.signatures import PublicKeyInvalid, new_key, public_bytes
from activities.identity.statements import message_statement
from activities.storage.database import Database, StoreUnavailable
from tests.harness.proving import LEE, MINUTE, MO, Scene, approve, dated, refused
from workers.keys import Signer
from workflows.contracts.approvals import Decision
from workflows.contracts.messages import MessageReceived


@pytest_asyncio.fixture
async def principals(database_url: str) -> AsyncIterator[Principals]:
    """Who is registered in this test's database: nobody yet."""
    database = Database(database_url)
    yield Principals(database)
    await database.close()


@pytest_asyncio.fixture
async def scene(principals: Principals) -> Scene:
    """The scene, settled."""
    return await Scene(principals).settle()


# ── proving ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_decision_signed_with_ones_own_key_is_proved(scene: Scene) -> None:
    answer = await scene.prove(scene.lee.decision(approve()))
    assert answer == Proven(Principal(LEE, "acme", frozenset({"it"}), "U1"), "person")


async def test_a_surface_signs_for_any_registered_person_of_its_tenant(scene: Scene) -> None:
    for by in (LEE, MO):
        answer = await scene.prove(scene.surface.decision(approve(by)))
        assert isinstance(answer, Proven)
        assert (answer.principal.name, answer.kind) == (by, "surface")


async def test_who_is_proved_has_the_registered_name_however_it_was_spelt(scene: Scene) -> None:
    answer = await scene.prove(scene.lee.decision(approve(" Lee@ACME.example ")))
    assert isinstance(answer, Proven)
    assert answer.principal.name == LEE


async def test_a_message_is_proved_in_the_same_way(scene: Scene) -> None:
    said = scene.lee.message("agent/a/1", MessageReceived(text="it is right", by=LEE, endorses="DE89 3704"))

    async def prove(run_id: str) -> Proven | Unproven:
        return await scene.principals.prove(
            tenant="acme", by=LEE, key=said.key, signature=said.signature, statement=message_statement(run_id, said),
            at=said.at, not_before=None, not_after=None,
        )  # fmt: skip

    assert isinstance(await prove("agent/a/1"), Proven)
    assert "does not fit" in refused(await prove("agent/a/2"))


@pytest.mark.parametrize("missing", ["key", "signature"])
async def test_what_is_not_signed_is_refused(scene: Scene, missing: str) -> None:
    signed = scene.lee.decision(approve())
    for nothing in (None, ""):
        reason = refused(await scene.prove(signed.model_copy(update={missing: nothing})))
        assert "not signed" in reason
        assert "stanchion keys new" in reason


async def test_a_key_nobody_registered_is_refused(scene: Scene) -> None:
    reason = refused(await scene.prove(Signer.of(new_key()).decision(approve())))
    assert "is not registered" in reason
    assert "stanchion keys list" in reason


@pytest.mark.parametrize("key", ["\x00", "\ud800", "x" * 200, "'; DROP TABLE keys; --"])
async def test_a_key_id_that_is_garbage_is_refused_like_any_other(scene: Scene, key: str) -> None:
    assert "is not registered" in refused(await scene.prove(scene.lee.decision(approve()), key=key))


async def test_a_revoked_key_is_refused_at_once(scene: Scene) -> None:
    signed = scene.lee.decision(approve())
    assert isinstance(await scene.prove(signed), Proven)
    await scene.principals.revoke_key(scene.lee.key_id)
    assert "is revoked; make a new one" in refused(await scene.prove(signed))
    assert isinstance(await scene.prove(scene.surface.decision(approve())), Proven)  # the person is still known


async def test_a_key_of_another_tenant_is_refused(scene: Scene) -> None:
    await scene.principals.add("beta", LEE, ["it"], None, "root")
    assert "another tenant" in refused(await scene.prove(scene.lee.decision(approve()), tenant="beta"))
    assert "another tenant" in refused(await scene.prove(scene.surface.decision(approve()), tenant="beta"))


async def test_a_persons_key_signs_for_nobody_else(scene: Scene) -> None:
    reason = refused(await scene.prove(scene.lee.decision(approve(MO))))
    assert f"belongs to {LEE}" in reason
    assert "a key of their own" in reason


CHANGES: dict[str, Any] = {
    "approval_id": "ap-2",
    "digest": "d2",
    "verdict": "reject",
    "reason": "because",
    "arguments": {"to": "eve@corp.example"},
    "repeat": 1,
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_decision_that_was_changed_after_it_was_signed_is_refused(scene: Scene, name: str) -> None:
    signed = scene.lee.decision(approve())
    reason = refused(await scene.prove(signed.model_copy(update={name: CHANGES[name]})))
    assert "changed after it was signed" in reason


async def test_a_signature_by_another_key_is_refused(scene: Scene) -> None:
    forged = Signer(scene.lee.key_id, new_key()).decision(approve())
    assert "does not fit" in refused(await scene.prove(forged))
    for garbage in ("x", "é", "AAAA", "A" * 86 + "=="):
        assert "does not fit" in refused(await scene.prove(forged.model_copy(update={"signature": garbage})))


@pytest.mark.parametrize("name", ["by", "key", "at"])
async def test_what_is_claimed_beside_the_statement_is_what_the_statement_says(scene: Scene, name: str) -> None:
    signed = scene.surface.decision(approve())
    assert isinstance(await scene.prove(signed), Proven)
    assert signed.at
    other = {"by": MO, "key": scene.lee.key_id, "at": signed.at + timedelta(seconds=1)}
    assert "names another person, key or time" in refused(await scene.prove(signed, **{name: other[name]}))


async def test_someone_who_is_not_registered_is_refused(scene: Scene) -> None:
    reason = refused(await scene.prove(scene.surface.decision(approve("eve@acme.example"))))
    assert "eve@acme.example is not registered" in reason
    assert "stanchion principals add eve@acme.example --tenant acme" in reason


async def test_someone_of_another_tenant_is_refused(scene: Scene) -> None:
    await scene.principals.add("beta", "bo@beta.example", ["it"], None, "root")
    reason = refused(await scene.prove(scene.surface.decision(approve("bo@beta.example"))))
    assert "registered for another tenant" in reason


async def test_someone_who_was_revoked_is_refused_at_once_and_with_all_their_keys(scene: Scene) -> None:
    own, through_slack = scene.lee.decision(approve()), scene.surface.decision(approve())
    assert isinstance(await scene.prove(through_slack), Proven)
    await scene.principals.revoke("acme", LEE)
    assert f"{LEE} is revoked" in refused(await scene.prove(through_slack))
    assert "is revoked; make a new one" in refused(await scene.prove(own))
    await scene.principals.add("acme", LEE, ["it"], None, "root")
    assert isinstance(await scene.prove(through_slack), Proven)
    assert "is revoked" in refused(await scene.prove(own))  # whoever comes back comes back with a new key


async def test_the_time_of_signing_has_to_fit_the_question(scene: Scene) -> None:
    now = datetime.now(UTC)

    async def signed(at: datetime | None, **window: Any) -> Proven | Unproven:
        return await scene.prove(dated(scene.lee, approve(), at), **window)

    assert isinstance(await signed(now), Proven)
    assert isinstance(await signed(now, not_before=None, not_after=None), Proven)
    assert "does not say when" in refused(await signed(None))
    asked = {"not_before": now}
    assert isinstance(await signed(now - 1.9 * MINUTE, **asked), Proven)  # a clock that is a little behind
    assert "before it was asked: a replay" in refused(await signed(now - 2.1 * MINUTE, **asked))
    assert isinstance(await signed(now + 1.5 * MINUTE), Proven)  # or ahead
    assert "in the future" in refused(await signed(now + 4 * MINUTE))
    over = {"not_before": now - 30 * MINUTE, "not_after": now - 10 * MINUTE}
    assert isinstance(await signed(now - 10 * MINUTE, **over), Proven)
    assert "after the time to answer was over" in refused(await signed(now - 9 * MINUTE, **over))


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"])
async def test_times_at_the_edge_of_the_calendar_are_refused_and_crash_nothing(scene: Scene, at: str) -> None:
    decision = Decision.model_validate({"approval_id": "ap-1", "verdict": "approve", "by": LEE, "at": at})
    assert refused(await scene.prove(dated(scene.lee, decision, decision.at)))


async def test_without_the_store_nothing_is_proved(scene: Scene) -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        await replace(scene, principals=Principals(nowhere)).prove(scene.lee.decision(approve()))


# ── principals ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_names_are_found_in_any_case_and_only_in_their_tenant(principals: Principals) -> None:
    await principals.add("acme", f" {LEE.upper()} ", ["it", "it"], "U1", "root")
    assert await principals.find("acme", "Lee@Acme.Example ") == Principal(LEE, "acme", frozenset({"it"}), "U1")
    assert await principals.find("beta", LEE) is None
    assert await principals.find("acme", "\x00") is None
    assert await principals.find("*", LEE) is None


async def test_who_is_registered_for_every_tenant_holds_in_each_with_the_roles_of_both(principals: Principals) -> None:
    await principals.add("*", LEE, ["platform"], "U1", "root")
    await principals.add("acme", LEE, ["it"], None, "root")
    assert await principals.find("acme", LEE) == Principal(LEE, "acme", frozenset({"platform", "it"}), "U1")
    assert await principals.find("beta", LEE) == Principal(LEE, "*", frozenset({"platform"}), "U1")
    await principals.revoke("acme", LEE)
    assert await principals.find("acme", LEE) is None  # a tenant can keep out someone whom the platform lets in
    assert await principals.find("beta", LEE)
    await principals.add("acme", LEE, ["it"], None, "root")
    await principals.revoke("*", LEE)
    assert await principals.find("acme", LEE) is None  # and the platform someone whom a tenant lets in


async def test_revoking_for_every_tenant_takes_the_keys_of_each(scene: Scene) -> None:
    await scene.principals.add("*", LEE, [], None, "root")
    await scene.principals.revoke("*", LEE)
    assert [key.key for key in await scene.principals.keys() if key.revoked_at] == [scene.lee.key_id]


async def test_adding_again_changes_what_is_given_and_keeps_the_rest(principals: Principals) -> None:
    await principals.add("acme", LEE, ["it", "security"], None, "root")
    await principals.add("acme", LEE, None, "U1", "root")
    assert await principals.find("acme", LEE) == Principal(LEE, "acme", frozenset({"it", "security"}), "U1")
    await principals.add("acme", LEE, ["it"], None, "root")
    assert await principals.find("acme", LEE) == Principal(LEE, "acme", frozenset({"it"}), "U1")


async def test_who_comes_back_has_nothing_of_before(principals: Principals) -> None:
    await principals.add("acme", LEE, ["security"], "U1", "root")
    await principals.revoke("acme", LEE)
    await principals.add("acme", LEE, None, None, "root")
    assert await principals.find("acme", LEE) == Principal(LEE, "acme", frozenset(), None)


async def test_a_slack_user_is_one_person_of_a_tenant(principals: Principals) -> None:
    await principals.add("acme", LEE, [], "U1", "root")
    found = await principals.by_slack("acme", "U1")
    assert found and found.name == LEE
    assert await principals.by_slack("beta", "U1") is None
    assert await principals.by_slack("acme", "U2") is None
    with pytest.raises(SlackUserTaken, match="someone else"):
        await principals.add("acme", MO, [], "U1", "root")
    await principals.revoke("acme", LEE)
    assert await principals.by_slack("acme", "U1") is None
    await principals.add("acme", MO, [], "U1", "root")
    found = await principals.by_slack("acme", "U1")
    assert found and found.name == MO


async def test_the_tenants_own_word_on_a_slack_user_goes_first(principals: Principals) -> None:
    await principals.add("*", LEE, [], "U1", "root")
    await principals.add("acme", MO, [], "U1", "root")
    assert [(await principals.by_slack(t, "U1") or Principal("", "", frozenset())).name for t in ("acme", "beta")] == [
        MO,
        LEE,
    ]


async def test_the_list_tells_revoked_from_not(principals: Principals) -> None:
    await principals.add("acme", LEE, [], None, "root")
    await principals.add("*", MO, [], None, "root")
    await principals.add("beta", "bo@beta.example", [], None, "root")
    await principals.revoke("acme", LEE)
    assert {one.principal.name: one.revoked_at is not None for one in await principals.all("acme")} == {
        LEE: True,
        MO: False,
    }
    assert len(await principals.all()) == 3


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "x" * 321])
async def test_a_name_is_one_line(principals: Principals, name: str) -> None:
    with pytest.raises(PrincipalInvalid):
        await principals.add("acme", name, [], None, "root")


@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\u2066", "\u00ad", "\ufeff", "\u3164", "\u00a0", "\U000e0041"])
async def test_a_name_shows_all_that_is_in_it(principals: Principals, hidden: str) -> None:
    with pytest.raises(PrincipalInvalid, match=f"U\\+{ord(hidden):04X}, which does not show"):
        await principals.add("acme", f"le{hidden}e@acme.example", [], None, "root")
    assert await principals.all() == []


@pytest.mark.parametrize(
    "spelling", ["Jose\u0301@acme.example", "JOS\u00c9@ACME.EXAMPLE", "\uff4aos\u00e9@acme.example"]
)
async def test_however_a_name_is_composed_it_is_one_person(principals: Principals, spelling: str) -> None:
    await principals.add("acme", "jos\u00e9@acme.example", ["it"], None, "root")
    await principals.add("acme", spelling, None, None, "root")
    assert [one.principal.name for one in await principals.all()] == ["jos\u00e9@acme.example"]
    await principals.revoke("acme", spelling)
    assert await principals.find("acme", "jos\u00e9@acme.example") is None


@given(st.text())
def test_a_canonical_name_is_its_own_canonical_name(name: str) -> None:
    assert canonical_name(canonical_name(name)) == canonical_name(name)
    assert canonical_name(f" {name.upper().lower()}\u200b ") == canonical_name(name.upper().lower())


async def test_revoking_whom_nobody_knows_says_so(principals: Principals) -> None:
    with pytest.raises(PrincipalUnknown, match="stanchion principals list"):
        await principals.revoke("acme", LEE)
    with pytest.raises(KeyUnknown, match="stanchion keys list"):
        await principals.revoke_key("0" * 16)


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_belongs_to_someone_who_is_registered(principals: Principals) -> None:
    public = public_bytes(new_key())
    with pytest.raises(PrincipalUnknown, match=r"stanchion principals add lee@acme\.example --tenant 'acme'"):
        await principals.add_key(public, "person", "acme", LEE, "root")
    await principals.add("beta", LEE, [], None, "root")
    for tenant in ("acme", "*"):
        with pytest.raises(PrincipalUnknown):
            await principals.add_key(public, "person", tenant, LEE, "root")
    await principals.add("acme", LEE, [], None, "root")
    await principals.revoke("acme", LEE)
    with pytest.raises(PrincipalUnknown, match="or is revoked"):
        await principals.add_key(public, "person", "acme", LEE, "root")
    assert await principals.keys() == []


async def test_a_key_is_registered_once_and_for_one(scene: Scene) -> None:
    again = await scene.principals.add_key(scene.lee.public, "person", "acme", LEE.upper(), "someone")
    assert (again.principal, again.added_by) == (LEE, "root")
    with pytest.raises(KeyTaken, match=LEE):
        await scene.principals.add_key(scene.lee.public, "person", "acme", MO, "root")
    with pytest.raises(KeyTaken, match="a surface"):
        await scene.principals.add_key(scene.surface.public, "surface", "*", None, "root")
    assert len(await scene.principals.keys("acme")) == 2
    assert await scene.principals.keys("beta") == []


async def test_a_revoked_key_never_counts_again(scene: Scene) -> None:
    first = await scene.principals.revoke_key(scene.lee.key_id)
    assert (await scene.principals.revoke_key(scene.lee.key_id)).revoked_at == first.revoked_at
    with pytest.raises(KeyTaken, match="was revoked"):
        await scene.principals.add_key(scene.lee.public, "person", "acme", LEE, "root")
    assert "is revoked" in refused(await scene.prove(scene.lee.decision(approve())))


async def test_what_is_no_public_key_is_not_registered(scene: Scene) -> None:
    with pytest.raises(PublicKeyInvalid):
        await scene.principals.add_key(b"short", "surface", "acme", None, "root")
