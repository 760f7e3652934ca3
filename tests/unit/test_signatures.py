"""What is signed, and with what: every word of a statement counts, and a private key is its owner's alone."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from activities.identity.proof import (
    Claim,
    KeyRow,
    Principal,
    PrincipalRow,
    Proven,
    Unproven,
    merge_registrations,
    verify_claim,
)
from activities.identity.signatures import (
    DOMAIN,
    NotSignable,
    PublicKeyInvalid,
    decode_public,
    encode_public,
    fingerprint,
    new_key,
    public_bytes,
    sign,
    verify,
)
from activities.identity.statements import decision_statement, instant, message_statement
from activities.storage.canonical import canonical_json
from tests.harness.values import contract, json_values
from workers import keys
from workers.services.home import Home
from workflows.contracts.approvals import Decision
from workflows.contracts.messages import MessageReceived

PRIVATE = new_key()
PUBLIC = public_bytes(PRIVATE)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

decisions = contract(Decision)
messages = contract(MessageReceived)
statements = decisions.map(decision_statement) | st.builds(message_statement, st.text("abc", max_size=3), messages)


@given(statements)
def test_what_was_signed_verifies_with_that_key_and_no_other(statement: dict[str, Any]) -> None:
    signature = sign(PRIVATE, statement)
    assert verify(PUBLIC, statement, signature)
    assert not verify(public_bytes(new_key()), statement, signature)


@given(statements, st.data())
def test_no_field_can_be_changed_after_signing(statement: dict[str, Any], data: st.DataObject) -> None:
    signature = sign(PRIVATE, statement)
    field = data.draw(st.sampled_from(sorted(statement)))
    changed = statement | {field: data.draw(json_values)}
    assume(canonical_json(changed) != canonical_json(statement))
    assert not verify(PUBLIC, changed, signature)


@given(statements, st.data())
def test_no_field_can_be_left_out_or_added(statement: dict[str, Any], data: st.DataObject) -> None:
    signature = sign(PRIVATE, statement)
    left_out = data.draw(st.sampled_from(sorted(statement)))
    assert not verify(PUBLIC, {k: v for k, v in statement.items() if k != left_out}, signature)
    assert not verify(PUBLIC, statement | {"more": None}, signature)


@given(decisions, messages, st.sampled_from(["", "ap-1", "ap-2", "ap-3"]))
def test_a_signed_message_is_no_decision_and_a_signed_decision_no_message(
    decision: Decision, message: MessageReceived, run_id: str
) -> None:
    decided, said = decision_statement(decision), message_statement(run_id, message)
    assert not verify(PUBLIC, said, sign(PRIVATE, decided))
    assert not verify(PUBLIC, decided, sign(PRIVATE, said))


def test_a_message_to_one_run_is_not_one_to_another() -> None:
    message = MessageReceived(text="go on", endorses="eve@corp.example", by="lee", at=NOW)
    signature = sign(PRIVATE, message_statement("agent/a/1", message))
    assert verify(PUBLIC, message_statement("agent/a/1", message), signature)
    assert not verify(PUBLIC, message_statement("agent/a/2", message), signature)


@pytest.mark.parametrize("prefix", [b"", DOMAIN[:-1], b"stanchion/2\0", b"ssh\0"])
def test_what_the_key_signed_for_another_purpose_counts_for_nothing(prefix: bytes) -> None:
    statement = decision_statement(Decision(approval_id="ap-1", verdict="approve", by="lee"))
    raw = PRIVATE.sign(prefix + canonical_json(statement).encode())
    assert not verify(PUBLIC, statement, base64.b64encode(raw).decode())
    ours = PRIVATE.sign(DOMAIN + canonical_json(statement).encode())
    assert verify(PUBLIC, statement, base64.b64encode(ours).decode())


def test_every_field_is_signed_but_the_proofs_themselves() -> None:
    decision = decision_statement(Decision(approval_id="ap-1", verdict="approve", by="lee"))
    assert decision.keys() == set(Decision.model_fields) - {"signature", "code"} | {"kind"}
    message = message_statement("r", MessageReceived(text="x"))
    assert message.keys() == set(MessageReceived.model_fields) - {"signature"} | {"run_id"}


@given(decisions)
def test_a_signature_survives_the_wire(decision: Decision) -> None:
    signed = keys.Signer.of(PRIVATE).decision(decision)
    arrived = Decision.model_validate_json(signed.model_dump_json())
    assert verify(PUBLIC, decision_statement(arrived), arrived.signature or "")
    assert (arrived.key, arrived.verdict, arrived.by) == (fingerprint(PUBLIC), decision.verdict, decision.by)


@given(messages)
def test_a_signed_message_survives_the_wire(message: MessageReceived) -> None:
    signed = keys.Signer.of(PRIVATE).message("agent/a/1", message)
    arrived = MessageReceived.model_validate_json(signed.model_dump_json())
    assert verify(PUBLIC, message_statement("agent/a/1", arrived), arrived.signature or "")


@given(st.binary(max_size=40), statements, st.text(max_size=100))
def test_garbage_is_a_no_and_never_an_error(public: bytes, statement: dict[str, Any], signature: str) -> None:
    assert not verify(public, statement, signature)
    assert not verify(PUBLIC, statement, signature)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {1, 2}, 10**5000], ids=lambda value: type(value).__name__
)
def test_what_has_no_canonical_form_is_neither_signed_nor_verified(value: object) -> None:
    assert not verify(PUBLIC, {"kind": "decision", "arguments": value}, sign(PRIVATE, {}))
    with pytest.raises(NotSignable):
        sign(PRIVATE, {"kind": "decision", "arguments": value})


def test_a_signature_has_one_spelling() -> None:
    signature = sign(PRIVATE, {"kind": "decision"})
    assert not verify(PUBLIC, {"kind": "decision"}, signature.rstrip("="))
    assert not verify(PUBLIC, {"kind": "decision"}, signature + "\n")
    last = signature[-3]
    other = chr(ord(last) + 1)  # the last digit has four bits that say nothing
    assert not verify(PUBLIC, {"kind": "decision"}, signature[:-3] + other + "==")


def test_a_moment_is_the_same_statement_in_every_zone() -> None:
    assert instant(NOW) == instant(NOW.astimezone(timezone(timedelta(hours=5)))) == instant(NOW.replace(tzinfo=None))
    edge = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    assert instant(edge) == edge.isoformat()


def test_a_public_key_is_passed_on_in_base64_and_nothing_else_is_taken_for_one() -> None:
    assert decode_public(f" {encode_public(PUBLIC)}\n") == PUBLIC
    for text in ("", "lee", encode_public(PUBLIC[:31]), encode_public(PUBLIC + b"x"), "é"):
        with pytest.raises(PublicKeyInvalid, match="base64"):
            decode_public(text)


# ── judging: what more revocations, fewer rights and other times do ─────────────────────────────────────────────────

tenants = st.sampled_from(["acme", "beta", "*"])
key_rows = st.builds(
    KeyRow,
    public=st.just(PUBLIC),
    kind=st.sampled_from(["person", "surface"]),
    tenant=tenants,
    principal=st.sampled_from(["lee", "mo"]),
    revoked=st.booleans(),
)
principal_rows = st.lists(
    st.builds(
        PrincipalRow,
        st.builds(Principal, st.just("lee"), tenants, st.frozensets(st.sampled_from(["it", "security"]))),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda row: row.principal.tenant,
)
offsets = st.integers(-10, 10).map(lambda minutes: NOW + timedelta(minutes=minutes))


def claim(at: datetime = NOW) -> Claim:
    """Lee's approval, rightly signed."""
    decision = Decision(approval_id="ap-1", verdict="approve", by="lee", key=fingerprint(PUBLIC), at=at)
    statement = decision_statement(decision)
    return Claim(
        "acme", "lee", decision.key, sign(PRIVATE, statement), statement, at, NOW - timedelta(minutes=5),
        NOW + timedelta(minutes=5),
    )  # fmt: skip


@given(key_rows, principal_rows, offsets)
def test_nothing_is_proved_unless_key_person_tenant_and_time_all_fit(
    key: KeyRow, rows: list[PrincipalRow], at: datetime
) -> None:
    here = [row for row in rows if row.principal.tenant in ("acme", "*")]
    fits = (
        (not key.revoked and key.tenant in ("acme", "*") and (key.kind == "surface" or key.principal == "lee"))
        and (bool(here) and not any(row.revoked for row in here))
        and NOW - timedelta(minutes=7) <= at <= NOW + timedelta(minutes=2)
    )
    answer = verify_claim(claim(at), key, rows, NOW)
    assert isinstance(answer, Proven if fits else Unproven)
    if isinstance(answer, Proven):
        assert answer.principal.roles == frozenset().union(*(row.principal.roles for row in here))
        assert answer.kind == key.kind


@given(principal_rows, st.data())
def test_one_more_revocation_never_brings_anybody_back(rows: list[PrincipalRow], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(rows)))
    fewer = [PrincipalRow(row.principal, row.revoked or i == index) for i, row in enumerate(rows)]
    if merge_registrations("acme", rows) is None:
        assert merge_registrations("acme", fewer) is None


# ── private keys on disk ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def home(tmp_path: Any) -> Home:
    """A fresh state folder."""
    return Home(tmp_path / "home")


def test_a_private_key_is_readable_by_its_owner_only_and_signs_after_it_is_loaded(home: Home) -> None:
    made = keys.create(home, "Lee@acme.example ")
    path = keys.path_of(home, "lee@acme.example")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    loaded = keys.load(home, "lee@acme.example")
    assert (loaded.key_id, loaded.public) == (made.key_id, made.public)
    signed = loaded.decision(Decision(approval_id="ap-1", verdict="approve", by="lee"))
    assert verify(made.public, decision_statement(signed), signed.signature or "")


def test_a_private_key_is_never_overwritten(home: Home) -> None:
    made = keys.create(home, "lee")
    with pytest.raises(keys.KeyExists, match="not overwritten"):
        keys.create(home, "lee")
    assert keys.load(home, "lee").key_id == made.key_id


def test_a_private_key_is_not_written_through_a_link(home: Home) -> None:
    target = home.root / "elsewhere.pem"
    keys.create(home, "mo")
    keys.path_of(home, "lee").symlink_to(target)
    with pytest.raises(keys.KeyExists):
        keys.create(home, "lee")
    assert not target.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_private_key_that_others_can_use_is_refused(home: Home, mode: int) -> None:
    keys.create(home, "lee")
    path = keys.path_of(home, "lee")
    path.chmod(mode)
    with pytest.raises(keys.KeyExposed, match="keys revoke"):
        keys.load(home, "lee")
    path.chmod(0o400)
    assert keys.load(home, "lee")


def test_what_is_no_key_is_refused_with_a_word_about_it(home: Home) -> None:
    with pytest.raises(keys.KeyMissing, match="stanchion keys new lee"):
        keys.load(home, "lee")
    keys.create(home, "lee")
    for content in (b"", b"secret", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        keys.path_of(home, "lee").write_bytes(content)
        with pytest.raises(keys.KeyUnreadable, match=r"lee\.pem"):
            keys.load(home, "lee")


@pytest.mark.parametrize("name", ["", "../lee", "a/b", ".hidden", "a\x00b", "l e e", "x" * 300])
def test_the_name_of_a_key_never_leaves_the_folder(home: Home, name: str) -> None:
    with pytest.raises(keys.KeyNameInvalid):
        keys.create(home, name)
    assert not home.root.exists()


def test_a_signer_does_not_print_its_private_key() -> None:
    assert "private" not in repr(keys.Signer.of(PRIVATE))


def test_what_cannot_be_signed_is_refused_by_name() -> None:
    edit = Decision(approval_id="ap-1", verdict="edit", by="lee", arguments={"amount": float("nan")})
    with pytest.raises(NotSignable):
        keys.Signer.of(PRIVATE).decision(edit)
