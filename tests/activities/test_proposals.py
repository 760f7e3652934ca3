"""Graduation on recorded approvals: what is proposed, tried on what was recorded, and accepted by somebody else."""

import json
from typing import Any

import pytest

from activities.agents.versions import AgentVersion
from activities.approvals.authority import Authority
from activities.identity.principals import Principals
from activities.identity.signatures import new_key, sign
from activities.rehearsal.graduation import definition_changes
from activities.rehearsal.grant_trial import GraduationResult, graduate
from activities.rehearsal.proposals import Proposal, ProposalRefused, Proposals, SigningPerson
from tests.harness.door import Call, Door
from workers.keys import Signer
from workflows.contracts.calls import CallResult, NeedsApproval, Observed, Refused

BO, MO = "bo@acme.example", "mo@acme.example"
GOAL = f"Tell {BO} and {MO}, and note it."


async def sends(
    door: Door, agent: str, to: str = BO, verdict: Any = "approve", text: str = "hello", **more: Any
) -> Call:
    """A send that was asked about and answered."""
    call = await door.one(agent, "send", goal=GOAL, to=to, text=text)
    asked = await door.asked(call)
    receipt = await door.decide(asked, call.run_id, verdict, **more)
    assert receipt.answer == "accepted", receipt
    await door.call(call)
    return call


async def found(
    door: Door, agent: str, *, least: int = 3, unsigned_count: bool = True, tenant: str = "acme"
) -> GraduationResult:
    """What the recorded approvals give."""
    asked = await proposals(door).approvals(agent, tenant)
    current = await door.version_of(agent)
    return await graduate(door.parts.database, current, tenant, asked, least=least, unsigned_count=unsigned_count)


def proposals(door: Door, *, unsigned: bool = True) -> Proposals:
    """The proposals, with or without the switch that lets unsigned words count."""
    return Proposals(
        door.parts.database, Authority(door.parts.database, dangerously_accept_unsigned_decisions=unsigned)
    )


async def proposed(door: Door, agent: str, by: SigningPerson | None = None, *, unsigned: bool = True) -> Proposal:
    """A proposal from what is recorded."""
    what = await found(door, agent)
    assert what.new, what.passed_over
    return await proposals(door, unsigned=unsigned).propose(
        what.agent, what.new, what.evidence("acme", 3), by or SigningPerson("ann")
    )


async def attempt(door: Door, agent: str, tool: str = "send", **arguments: Any) -> CallResult:
    """What becomes of a call of a new run."""
    return await door.call(await door.one(agent, tool, goal=GOAL, **arguments))


async def person(door: Door, name: str, tenant: str = "acme") -> SigningPerson:
    """A registered person with a key."""
    principals, signer = Principals(door.parts.database), Signer.of(new_key())
    await principals.add(tenant, name, None, None, "the test")
    await principals.add_key(signer.public, "person", tenant, name, "the test")
    return SigningPerson(name, signer.key_id, lambda statement: sign(signer.private, statement))


def reasons(what: GraduationResult) -> list[str]:
    """Why classes were passed over."""
    return [why for _, why in what.passed_over]


# ── what is proposed ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_people_always_approved_passes_unasked_once_accepted_and_nothing_else_does(door: Door) -> None:
    agent = await door.publish("send", "note", "pay")
    for text in ("one", "two", "three"):
        await sends(door, agent, text=text)
    proposal = await proposed(door, agent)
    _, new = await proposals(door).accept(proposal.proposal_id, SigningPerson("lee"))
    assert (await door.version_of(agent)).version == new.version
    assert isinstance(await attempt(door, agent, to=BO, text="four"), Observed)
    assert isinstance(await attempt(door, agent, to=MO, text="four"), Refused)  # no grant is for Mo
    assert isinstance(await attempt(door, agent, "note", text="x"), Observed)
    assert isinstance(await attempt(door, agent, "pay", to="4711-0815", cents=5), NeedsApproval)


async def test_the_evidence_has_the_bound_the_approvals_and_what_it_would_have_changed(door: Door) -> None:
    agent = await door.publish("send", "note")
    for _ in range(3):
        await sends(door, agent)
    await sends(door, agent, MO)
    what = await found(door, agent)
    evidence = what.evidence("acme", 3)
    (only,) = evidence["classes"]
    assert (only["tool"], only["in_a_row"], only["approvers"]) == ("send", 3, ["lee"])
    assert only["refusal_bound"] == pytest.approx(1 - 0.05 ** (1 / 3), abs=1e-4)
    assert len(only["approvals"]) == 3
    assert evidence["tried_on"]["changes"] == [
        {"tool": "send", "was": "ask", "would_be": "allow", "calls": 3},
        {"tool": "send", "was": "ask", "would_be": "deny", "calls": 1},
    ]
    assert reasons(what) == ["1 in a row, and 3 are needed"]
    assert json.loads(json.dumps(evidence)) == evidence


async def test_fewer_than_needed_are_not_enough_and_two_classes_are_not_one(door: Door) -> None:
    agent = await door.publish("send")
    for to in (BO, MO, BO, MO):
        await sends(door, agent, to)
    what = await found(door, agent)
    assert what.new is None
    assert reasons(what) == ["2 in a row, and 3 are needed"] * 2


@pytest.mark.parametrize("verdict", ["reject", "respond", "edit"])
async def test_a_no_an_answer_or_an_edit_ends_the_streak(door: Door, verdict: str) -> None:
    agent = await door.publish("send")
    await sends(door, agent)
    await sends(door, agent)
    more = {"arguments": {"to": BO, "text": "better"}} if verdict == "edit" else {}
    await sends(door, agent, verdict=verdict, **more)
    await sends(door, agent)
    assert (await found(door, agent)).new is None
    await sends(door, agent)
    await sends(door, agent)
    assert (await found(door, agent)).new is not None


async def test_tier_4_is_never_proposed(door: Door) -> None:
    agent = await door.publish("pay")
    for _ in range(3):
        call = await door.one(agent, "pay", goal="Pay 4711-0815 its 5.", to="4711-0815", cents=5)
        asked = await door.asked(call)
        for by in ("lee", "kim"):
            await door.decide(asked, call.run_id, by=by)
    what = await found(door, agent)
    assert what.new is None
    assert reasons(what) == ["a call of tier T4 always needs an approval"]
    await door.execute("UPDATE approvals SET tier = 'T3'")  # whatever the table says: the tool says T4
    assert reasons(await found(door, agent)) == ["a call of tier T4 always needs an approval"]


async def test_standing_approvals_are_nobodys_yes(door: Door) -> None:
    agent = await door.publish("send", approvals={"tools": {"send": {"repeat_most": 5}}})
    run_id = await door.open(agent, GOAL)
    (first, *others) = await door.plan(run_id, *[("send", {"to": BO, "text": "hello"})] * 4)
    await door.decide(await door.asked(first), run_id, repeat=5)
    for call in others:
        assert isinstance(await door.call(call), Observed)
    assert reasons(await found(door, agent)) == ["1 in a row, and 3 are needed"]


async def test_unsigned_approvals_count_only_where_they_are_taken(door: Door) -> None:
    agent = await door.publish("send")
    for _ in range(3):
        await sends(door, agent)
    assert reasons(await found(door, agent, unsigned_count=False)) == ["0 in a row, and 3 are needed"]


async def test_approvals_of_another_tenant_are_no_evidence(door: Door) -> None:
    agent = await door.publish("send")
    for _ in range(3):
        await sends(door, agent)
    assert (await found(door, agent, tenant="other")).new is None


async def test_what_a_grant_would_not_change_is_not_proposed(door: Door) -> None:
    always = await door.publish("send", approvals={"tools": {"send": {"always": True}}})
    for _ in range(3):
        await sends(door, always)
    assert "no grant would change it: approval.always" in reasons(await found(door, always))[0]
    agent = await door.publish("send")
    for _ in range(3):
        await sends(door, agent, "new@acme.example")  # nobody named it: that is why it is asked about
    assert "no grant would change it: tier.T3.unanchored" in reasons(await found(door, agent))[0]


async def test_what_was_approved_under_another_tool_is_no_evidence(door: Door) -> None:
    agent = await door.publish("send")
    for _ in range(3):
        await sends(door, agent)
    await door.execute("UPDATE approvals SET class = 'of another tool'")
    assert "another tool" in reasons(await found(door, agent))[0]


# ── who accepts ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def ready(door: Door) -> str:
    """An agent with a class that may graduate."""
    agent = await door.publish("send", "note")
    for _ in range(3):
        await sends(door, agent)
    return agent


async def unchanged(door: Door, agent: str, before: AgentVersion) -> bool:
    """Nothing was published, and no proposal is accepted."""
    accepted = await door.value("SELECT count(*) FROM proposals WHERE accepted_by IS NOT NULL")
    return accepted == 0 and (await door.version_of(agent)).version == before.version


@pytest.mark.parametrize("spelling", ["ann@acme.example", "Ann@ACME.example", " ann@acme.example "])
@pytest.mark.parametrize("signed", [True, False])
async def test_the_proposer_cannot_accept(door: Door, spelling: str, signed: bool) -> None:
    agent = await ready(door)
    before = await door.version_of(agent)
    ann = await person(door, "ann@acme.example") if signed else SigningPerson("ann@acme.example")
    proposal = await proposed(door, agent, ann)
    with pytest.raises(ProposalRefused, match="a second person has to accept it"):
        await proposals(door).accept(proposal.proposal_id, SigningPerson(spelling, ann.key, ann.sign))
    assert await unchanged(door, agent, before)


async def test_unsigned_words_count_only_under_the_switch_for_both(door: Door) -> None:
    agent = await ready(door)
    before = await door.version_of(agent)
    with pytest.raises(ProposalRefused, match="not signed"):
        await proposed(door, agent, SigningPerson("ann"), unsigned=False)
    assert await door.value("SELECT count(*) FROM proposals") == 0
    proposal = await proposed(door, agent, await person(door, "ann@acme.example"), unsigned=False)
    with pytest.raises(ProposalRefused, match="not signed"):
        await proposals(door, unsigned=False).accept(proposal.proposal_id, SigningPerson("lee@acme.example"))
    assert await unchanged(door, agent, before)
    lee = await person(door, "lee@acme.example")
    accepted, _ = await proposals(door, unsigned=False).accept(proposal.proposal_id, lee)
    assert (accepted.proposed_by, accepted.accepted_by) == ("ann@acme.example", "lee@acme.example")
    assert {accepted.evidence[key]["proof"] for key in ("proposed", "accepted")} == {"signature"}


async def test_somebody_elses_key_a_strangers_and_a_revoked_one_prove_nothing(door: Door) -> None:
    agent = await ready(door)
    before = await door.version_of(agent)
    proposal = await proposed(door, agent)
    lee, kim = await person(door, "lee@acme.example"), await person(door, "kim@acme.example", tenant="other")
    stranger = Signer.of(new_key())
    for hand in (
        SigningPerson("max@acme.example", lee.key, lee.sign),
        kim,
        SigningPerson("lee@acme.example", stranger.key_id, lambda statement: sign(stranger.private, statement)),
        SigningPerson(
            "lee@acme.example", lee.key, lambda statement: lee.sign(statement | {"digest": "x"}) if lee.sign else ""
        ),
    ):
        with pytest.raises(ProposalRefused):
            await proposals(door).accept(proposal.proposal_id, hand)
    await Principals(door.parts.database).revoke("acme", "lee@acme.example")
    with pytest.raises(ProposalRefused, match="revoked"):
        await proposals(door).accept(proposal.proposal_id, lee)
    assert await unchanged(door, agent, before)


async def test_an_agent_that_ran_for_several_tenants_is_changed_by_people_of_every_one(door: Door) -> None:
    agent = await ready(door)
    await door.open(agent, tenant="other")
    proposal = await proposed(door, agent, await person(door, "ann@acme.example", tenant="*"))
    with pytest.raises(ProposalRefused, match="another tenant"):
        await proposals(door).accept(proposal.proposal_id, await person(door, "lee@acme.example"))
    await proposals(door).accept(proposal.proposal_id, await person(door, "kim@acme.example", tenant="*"))


async def test_a_stale_proposal_is_refused(door: Door) -> None:
    agent = await ready(door)
    proposal = await proposed(door, agent)
    await door.publish("send", name=agent, instructions="Do something else.")
    newer = await door.version_of(agent)
    with pytest.raises(ProposalRefused, match="stale"):
        await proposals(door).accept(proposal.proposal_id, SigningPerson("lee"))
    assert await unchanged(door, agent, newer)
    assert [row["state"] for row in await proposals(door).all()] == ["stale"]


async def test_a_proposal_is_accepted_once(door: Door) -> None:
    agent = await ready(door)
    proposal = await proposed(door, agent)
    await proposals(door).accept(proposal.proposal_id, SigningPerson("lee"))
    with pytest.raises(ProposalRefused, match="was accepted by lee"):
        await proposals(door).accept(proposal.proposal_id, SigningPerson("kim"))


async def test_a_proposal_that_was_changed_in_the_table_is_refused(door: Door) -> None:
    agent = await ready(door)
    before = await door.version_of(agent)
    proposal = await proposed(door, agent)
    await door.execute(f"UPDATE proposals SET definition = replace(definition::text, '{BO}', '{MO}')::json")
    with pytest.raises(ProposalRefused, match="changed in the database"):
        await proposals(door).accept(proposal.proposal_id, SigningPerson("lee"))
    assert await unchanged(door, agent, before)


async def test_the_same_change_proposed_again_is_the_same_proposal(door: Door) -> None:
    agent = await ready(door)
    first = await proposed(door, agent)
    await sends(door, agent)
    again = await proposed(door, agent, SigningPerson("mo"))
    assert (again.proposal_id, again.proposed_by) == (first.proposal_id, "ann")
    assert definition_changes(again.definition) == definition_changes(first.definition)
