"""The bodies of `policy graduate`, `proposals` and `accept`: two people turn approvals into grants."""

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
from activities.rehearsal.grant_trial import graduate as try_grants
from activities.rehearsal.proposals import Proposal, ProposalRefused, Proposals, SigningPerson
from activities.storage.database import Database
from workers import keys
from workers.cli.database_session import open_database
from workers.cli.output import Exit, echo, fail, run, say, show, table
from workers.cli.policy.policies import allow_tool_imports
from workers.services import Home
from workers.settings import from_environment

CLASSES = ("tool", "in_a_row", "at_most_refused", "approved_ever", "not_approved_ever", "approvers", "unsigned",
           "faster_than_3s")  # fmt: skip


def graduate(agent: str, tenant: str, least: int, by: str | None, as_json: bool) -> None:
    """`stanchion policy graduate`: tries new grants on recorded calls and stores them as a proposal."""
    allow_tool_imports()
    unsigned = from_environment().dangerously_accept_unsigned_decisions

    async def work() -> tuple[GraduationResult, Proposal | None, str | None]:
        async with open_database() as database:
            current = await Agents(database).current(agent)
            proposals = _proposals(database)
            approvals = await proposals.approvals(agent, tenant)
            result = await try_grants(database, current, tenant, approvals, least=least, unsigned_count=unsigned)
            if result.new is None:
                return result, None, None
            try:
                evidence = result.evidence(tenant, least)
                return result, await proposals.propose(current, result.new, evidence, _signing_person(by)), None
            except ProposalRefused as error:
                return result, None, str(error)

    result, proposal, refusal = run(work())
    evidence = result.evidence(tenant, least)
    passed_over = [streak.summary() | {"why_not": why} for streak, why in result.passed_over]
    difference = _definition_diff(result.agent, result.new.definition) if result.new else ""
    if as_json:
        head = {"proposal": proposal.proposal_id if proposal else None, "refused": refusal, "diff": difference}
        show(head | {"agent": agent, **evidence, "passed_over": passed_over}, as_json=True)
    else:
        _print_rows(passed_over, ("tool", "in_a_row", "why_not"))
        _print_evidence(evidence, difference)
    if refusal:
        fail(f"not stored: {refusal}", Exit.REFUSED)
    if proposal is None:
        return say(f"nothing to propose for {agent} in tenant {tenant}")
    say(f"{proposal.proposal_id}: a second person accepts it with `stanchion policy accept {proposal.proposal_id}`")


def proposals(proposal_id: str | None, as_json: bool) -> None:
    """`stanchion policy proposals`: lists all proposals, or shows one in full."""

    async def read_all() -> list[dict[str, Any]]:
        async with open_database() as database:
            return await _proposals(database).all()

    async def read_one(wanted_id: str) -> tuple[Proposal, AgentVersion]:
        async with open_database() as database:
            proposal = await _proposals(database).find(wanted_id)
            return proposal, await Agents(database).version(proposal.version)

    if proposal_id is None:
        rows = run(read_all())
        for row in rows:
            row["tools"] = sorted({call_class["tool"] for call_class in row["evidence"]["classes"]})
        columns = ("proposal_id", "agent", "tools", "state", "proposed_by", "proposed_at", "accepted_by", "accepted_at")
        return table(
            rows, columns, as_json=as_json, empty="nothing was proposed yet; `stanchion policy graduate AGENT`"
        )
    proposal, old = run(read_one(proposal_id))
    difference = _definition_diff(old, proposal.definition)
    if as_json:
        return show(_proposal_row(proposal) | {"evidence": proposal.evidence, "diff": difference}, as_json=True)
    show(_proposal_row(proposal), as_json=False)
    echo()
    _print_evidence(proposal.evidence, difference)


def accept(proposal_id: str, by: str | None, as_json: bool) -> None:
    """`stanchion policy accept`: accepts a proposal, signed if the person has a key on this machine."""
    allow_tool_imports()

    async def work() -> tuple[Proposal, AgentVersion]:
        async with open_database() as database:
            try:
                return await _proposals(database).accept(proposal_id, _signing_person(by))
            except ProposalRefused as error:
                fail(str(error), Exit.REFUSED)

    proposal, new = run(work())
    text = f"{proposal.agent} {new.version[:12]}: new runs get this version, accepted by {proposal.accepted_by}"
    show(_proposal_row(proposal) | {"new_version": new.version}, as_json=as_json, text=text)


def _proposals(database: Database) -> Proposals:
    unsigned = from_environment().dangerously_accept_unsigned_decisions
    return Proposals(database, Authority(database, dangerously_accept_unsigned_decisions=unsigned))


def _signing_person(by: str | None) -> SigningPerson:
    """Return the person who acts, with their key if it is on this machine. Raises KeyExposed, KeyUnreadable."""
    name = by or getpass.getuser()
    try:
        signer = keys.load(Home.locate(), name)
    except (keys.KeyMissing, keys.KeyNameInvalid):
        return SigningPerson(name)
    return SigningPerson(name, signer.key_id, lambda statement: sign(signer.private, statement))


def _proposal_row(proposal: Proposal) -> dict[str, Any]:
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


def _print_evidence(evidence: dict[str, Any], difference: str) -> None:
    """Print the classes of calls, the change, and which recorded calls it would have changed. Nothing if no change."""
    if not difference:
        return
    classes = [row | {"at_most_refused": f"{row['refusal_bound']:.1%}"} for row in evidence["classes"]]
    _print_rows(classes, CLASSES)
    echo(f"{difference}\n")
    tried_on = evidence["tried_on"]
    _print_rows(tried_on["changes"], ("tool", "was", "would_be", "calls"))
    say(f"tried on {tried_on['calls']} recorded calls; {tried_on['not_judged']} could not be evaluated")
    say("`max_items: 0, optional: true` means that the argument must not be given.")
    say("A call that no grant covers is refused; nobody is asked.")


def _print_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    if rows:
        table(rows, columns, as_json=False, empty="")
        echo()


def _definition_diff(old: AgentVersion, new: AgentDefinition) -> str:
    """Return the change of the definition as a unified diff of its YAML."""
    before, after = (
        yaml.safe_dump(changes, sort_keys=False).splitlines() if changes else []
        for changes in (definition_changes(old.definition), definition_changes(new))
    )
    name = old.definition.name
    lines = difflib.unified_diff(before, after, f"{name} {old.version[:12]}", f"{name} proposed", lineterm="", n=3)
    return "\n".join(lines)
