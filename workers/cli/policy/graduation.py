"""`policy graduate|proposals|accept`: from approvals to a grant, in the hands of two people."""

import difflib
import getpass
from collections.abc import Sequence
from typing import Any

import yaml

from activities.agents.definition import AgentDefinition
from activities.agents.versions import Agents, AgentVersion
from activities.approvals.authority import Authority
from activities.identity.signatures import sign
from activities.rehearsal.graduation import definition_changes
from activities.rehearsal.grant_trial import GraduationResult
from activities.rehearsal.grant_trial import graduate as tried
from activities.rehearsal.proposals import Proposal, ProposalRefused, Proposals, SigningPerson
from activities.storage.database import Database
from workers import keys
from workers.cli.database_session import store
from workers.cli.output import Exit, fail, run, say, show, table
from workers.cli.policy.policies import import_from_here
from workers.services import Home
from workers.settings import from_environment

CLASSES = ("tool", "in_a_row", "at_most_refused", "approved_ever", "not_approved_ever", "approvers", "unsigned",
           "faster_than_3s")  # fmt: skip


def graduate(agent: str, tenant: str, least: int, by: str | None, as_json: bool) -> None:
    """`stanchion policy graduate`."""
    import_from_here()
    unsigned = from_environment().dangerously_accept_unsigned_decisions

    async def work() -> tuple[GraduationResult, Proposal | None, str | None]:
        async with store() as opened:
            current = await Agents(opened).current(agent)
            proposals = _proposals(opened)
            asked = await proposals.approvals(agent, tenant)
            found = await tried(opened, current, tenant, asked, least=least, unsigned_count=unsigned)
            if found.new is None:
                return found, None, None
            try:
                evidence = found.evidence(tenant, least)
                return found, await proposals.propose(current, found.new, evidence, _hand(by)), None
            except ProposalRefused as error:
                return found, None, str(error)

    found, proposal, refused = run(work())
    evidence = found.evidence(tenant, least)
    passed_over = [streak.summary() | {"why_not": why} for streak, why in found.passed_over]
    difference = _difference(found.agent, found.new.definition) if found.new else ""
    if as_json:
        named = {"proposal": proposal.proposal_id if proposal else None, "refused": refused, "diff": difference}
        show(named | {"agent": agent, **evidence, "passed_over": passed_over}, as_json=True)
    else:
        _rows(passed_over, ("tool", "in_a_row", "why_not"))
        _print(evidence, difference)
    if refused:
        fail(f"not stored: {refused}", Exit.REFUSED)
    if proposal is None:
        return say(f"nothing to propose for {agent} in tenant {tenant}")
    say(f"{proposal.proposal_id}: somebody else accepts it with `stanchion policy accept {proposal.proposal_id}`")


def proposals(proposal_id: str | None, as_json: bool) -> None:
    """`stanchion policy proposals`: all of them, or one whole."""

    async def every() -> list[dict[str, Any]]:
        async with store() as opened:
            return await _proposals(opened).all()

    async def one(wanted: str) -> tuple[Proposal, AgentVersion]:
        async with store() as opened:
            found = await _proposals(opened).find(wanted)
            return found, await Agents(opened).version(found.version)

    if proposal_id is None:
        rows = run(every())
        for row in rows:
            row["tools"] = sorted({each["tool"] for each in row["evidence"]["classes"]})
        columns = ("proposal_id", "agent", "tools", "state", "proposed_by", "proposed_at", "accepted_by", "accepted_at")
        return table(
            rows, columns, as_json=as_json, empty="nothing was proposed yet; `stanchion policy graduate AGENT`"
        )
    proposal, old = run(one(proposal_id))
    difference = _difference(old, proposal.definition)
    if as_json:
        return show(_row(proposal) | {"evidence": proposal.evidence, "diff": difference}, as_json=True)
    show(_row(proposal), as_json=False)
    print()
    _print(proposal.evidence, difference)


def accept(proposal_id: str, by: str | None, as_json: bool) -> None:
    """`stanchion policy accept`: signed, if there is a key on this machine for who accepts."""
    import_from_here()

    async def work() -> tuple[Proposal, AgentVersion]:
        async with store() as opened:
            try:
                return await _proposals(opened).accept(proposal_id, _hand(by))
            except ProposalRefused as error:
                fail(str(error), Exit.REFUSED)

    proposal, new = run(work())
    text = f"{proposal.agent} {new.version[:12]}: new runs get this version, says {proposal.accepted_by}"
    show(_row(proposal) | {"new_version": new.version}, as_json=as_json, text=text)


def _proposals(opened: Database) -> Proposals:
    unsigned = from_environment().dangerously_accept_unsigned_decisions
    return Proposals(opened, Authority(opened, dangerously_accept_unsigned_decisions=unsigned))


def _hand(by: str | None) -> SigningPerson:
    """Who acts, with their key on this machine, if there is one. Raises KeyExposed, KeyUnreadable."""
    who = by or getpass.getuser()
    try:
        signer = keys.load(Home.locate(), who)
    except (keys.KeyMissing, keys.KeyNameInvalid):
        return SigningPerson(who)
    return SigningPerson(who, signer.key_id, lambda statement: sign(signer.private, statement))


def _row(proposal: Proposal) -> dict[str, Any]:
    return {
        "proposal": proposal.proposal_id,
        "agent": proposal.agent,
        "version": proposal.version,
        "tenant": proposal.evidence["tenant"],
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "accepted_by": proposal.accepted_by,
        "accepted_at": proposal.accepted_at,
    }


def _print(evidence: dict[str, Any], difference: str) -> None:
    """The figures, the change, and what it would have done to the calls it was tried on."""
    if not difference:
        return
    classes = [each | {"at_most_refused": f"{each['refusal_bound']:.1%}"} for each in evidence["classes"]]
    _rows(classes, CLASSES)
    print(f"{difference}\n")
    tried_on = evidence["tried_on"]
    _rows(tried_on["changes"], ("tool", "was", "would_be", "calls"))
    say(f"tried on {tried_on['calls']} recorded calls; {tried_on['not_judged']} could not be judged")
    say("`max_items: 0, optional: true`: must not be given. What a grant does not cover is refused, not asked about.")


def _rows(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    if rows:
        table(rows, columns, as_json=False, empty="")
        print()


def _difference(old: AgentVersion, new: AgentDefinition) -> str:
    """The change to the definition, as a diff of its YAML."""
    before, after = (
        yaml.safe_dump(definition_changes(each), sort_keys=False).splitlines() if definition_changes(each) else []
        for each in (old.definition, new)
    )
    name = old.definition.name
    lines = difflib.unified_diff(before, after, f"{name} {old.version[:12]}", f"{name} proposed", lineterm="", n=3)
    return "\n".join(lines)
