"""Proposals: a graduation tried on what was recorded, stored, and accepted by somebody else, which publishes it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from activities.agents.definition import AgentDefinition
from activities.agents.versions import SQL as AGENTS
from activities.agents.versions import Agents, AgentVersion, resolve
from activities.approvals.authority import Authority, Identified
from activities.errors import Permanent
from activities.identity.proof import EVERY_TENANT, Unproven
from activities.identity.statements import instant
from activities.rehearsal.graduation import ClosedApproval, RecordedDecision
from activities.storage.canonical import canonical_json, sha256_hex
from activities.storage.database import Database
from activities.storage.queries import Queries

SQL = Queries(__file__, "proposals.sql")
Statement = dict[str, Any]


class ProposalRefused(Permanent):
    """This proposal cannot be made or accepted; the message says why."""


class ProposalUnknown(Permanent):
    """There is no such proposal; `stanchion policy proposals` lists those there are."""


@dataclass(frozen=True)
class SigningPerson:
    """Who acts, and with which key; without one they only say so."""

    by: str
    key: str | None = None
    sign: Callable[[Statement], str] | None = None


@dataclass(frozen=True)
class Proposal:
    """A definition in place of another version's, and why. `head`: the version that new runs get now."""

    proposal_id: str
    agent: str
    version: str
    definition: AgentDefinition
    evidence: dict[str, Any]
    proposed_by: str
    proposed_at: datetime
    accepted_by: str | None
    accepted_at: datetime | None
    head: str | None

    @property
    def digest(self) -> str:
        """What somebody who accepts it signs: every part of it."""
        said = {key: value for key, value in self.evidence.items() if key != "accepted"}
        return sha256_hex([self.proposal_id, self.agent, self.version, _dumped(self.definition), said])


def proposal_id_for(agent: str, version: str, definition: AgentDefinition) -> str:
    """A short name for what it would change: the same change of the same version is the same proposal."""
    return "pp-" + sha256_hex([agent, version, _dumped(definition)])[:16]


def proposal_statement(proposal_id: str, hand: SigningPerson, at: datetime) -> Statement:
    """What somebody signs who proposes."""
    return {"kind": "proposal", "proposal_id": proposal_id, "by": hand.by, "at": instant(at), "key": hand.key}


def acceptance_statement(proposal: Proposal, hand: SigningPerson, at: datetime) -> Statement:
    """What somebody signs who accepts: the digest binds it to the very change and the figures it was made for."""
    said = {"kind": "acceptance", "proposal_id": proposal.proposal_id, "digest": proposal.digest}
    return said | {"by": hand.by, "at": instant(at), "key": hand.key}


class Proposals:
    """The proposals of one database. Whatever is not proved is refused."""

    def __init__(self, database: Database, authority: Authority) -> None:
        self._database = database
        self._authority = authority

    async def approvals(self, agent: str, tenant: str) -> list[ClosedApproval]:
        """The closed approvals of an agent in a tenant, in order."""
        return [_asked(dict(row)) for row in await SQL["approvals"].rows(self._database, agent=agent, tenant=tenant)]

    async def propose(
        self, agent: AgentVersion, new: AgentVersion, evidence: dict[str, Any], hand: SigningPerson
    ) -> Proposal:
        """Store the change from one version to another. Raises ProposalRefused for who cannot prove who they are."""
        name = agent.definition.name
        proposal_id = proposal_id_for(name, agent.version, new.definition)
        at = datetime.now(UTC)
        statement = proposal_statement(proposal_id, hand, at)
        who, proof = await self._identified(name, evidence["tenant"], hand, statement, at)
        await SQL["propose"].row(
            self._database,
            proposal_id=proposal_id,
            agent=name,
            version=agent.version,
            definition=canonical_json(_dumped(new.definition)),
            evidence=canonical_json(evidence | {"proposed": proof}),
            by=who.name,
        )
        return await self.find(proposal_id)

    async def find(self, proposal_id: str) -> Proposal:
        """One proposal. Raises ProposalUnknown, ProposalRefused for one that was changed in the table."""
        row = await SQL["proposal"].row(self._database, proposal_id=proposal_id)
        if row is None:
            raise ProposalUnknown(f"there is no proposal {proposal_id!r}; `stanchion policy proposals` lists them")
        columns = dict(row)
        definition = AgentDefinition.model_validate_json(columns.pop("definition"))
        proposal = Proposal(definition=definition, evidence=json.loads(columns.pop("evidence")), **columns)
        if proposal_id_for(proposal.agent, proposal.version, definition) != proposal_id:
            raise ProposalRefused(f"{proposal_id} was changed in the database after it was made; propose it anew")
        return proposal

    async def all(self) -> list[dict[str, Any]]:
        """Every proposal, latest first, with whether it is open, accepted or stale."""
        rows = [dict(row) for row in await SQL["all"].rows(self._database)]
        return [row | {"evidence": json.loads(row["evidence"])} for row in rows]

    async def accept(self, proposal_id: str, hand: SigningPerson) -> tuple[Proposal, AgentVersion]:
        """Publish what is proposed. Raises ProposalUnknown, ProposalRefused, DefinitionInvalid, StoreUnavailable."""
        proposal = await self.find(proposal_id)
        _refuse_closed(proposal)
        at = datetime.now(UTC)
        statement = acceptance_statement(proposal, hand, at)
        who, proof = await self._identified(
            proposal.agent, proposal.evidence["tenant"], hand, statement, at, not_before=proposal.proposed_at
        )
        if who.name.casefold() == proposal.proposed_by.casefold():
            raise ProposalRefused(f"{who.name} proposed it; a second person has to accept it")
        new = await self._resolved(proposal)
        await self._publish(proposal, new, who, proof)
        return await self.find(proposal_id), new

    async def _resolved(self, proposal: Proposal) -> AgentVersion:
        """The version it makes, with the very tools of the version that it changes."""
        old = await Agents(self._database).version(proposal.version)
        new = resolve(proposal.definition, old.source)
        if _hashes(old.tools) != _hashes(new.tools):
            raise ProposalRefused("a tool is not the one any more that the agent was published with; publish it first")
        return new

    async def _publish(self, proposal: Proposal, new: AgentVersion, who: Identified, proof: Statement) -> None:
        """Acceptance and publication in one transaction; whoever publishes another version meanwhile waits."""
        async with self._database.transaction() as connection:
            held = await SQL["hold_head"].on(connection, agent=proposal.agent)
            if not held or held[0]["version"] != proposal.version:
                raise ProposalRefused(_stale(proposal))
            accepted = await SQL["accept"].on(
                connection, proposal_id=proposal.proposal_id, by=who.name, proof=canonical_json(proof)
            )
            if not accepted:
                raise ProposalRefused(f"{proposal.proposal_id} was accepted meanwhile")
            await AGENTS["publish"].on(
                connection,
                version=new.version,
                name=new.definition.name,
                definition=canonical_json(_dumped(new.definition)),
                tools=canonical_json([vars(tool) for tool in new.tools]),
                source=new.source,
            )

    async def _identified(
        self,
        agent: str,
        tenant: str,
        hand: SigningPerson,
        statement: Statement,
        at: datetime,
        not_before: datetime | None = None,
    ) -> tuple[Identified, Statement]:
        """Who acts, and the proof to keep. An agent that ran for several tenants is changed by people of every one."""
        ran_for = {row["tenant"] for row in await SQL["tenants"].rows(self._database, agent=agent)}
        signature = hand.sign(statement) if hand.sign else None
        who = await self._authority.identify(
            tenant=tenant if ran_for <= {tenant} else EVERY_TENANT,
            by=hand.by,
            key=hand.key,
            signature=signature,
            statement=statement,
            at=at,
            not_before=not_before,
        )
        if isinstance(who, Unproven):
            raise ProposalRefused(f"{hand.by}: {who.reason}")
        return who, {"by": who.name, "proof": who.proof, "statement": statement, "signature": signature}


def _refuse_closed(proposal: Proposal) -> None:
    if proposal.accepted_by:
        raise ProposalRefused(f"{proposal.proposal_id} was accepted by {proposal.accepted_by}")
    if proposal.head != proposal.version:
        raise ProposalRefused(_stale(proposal))


def _stale(proposal: Proposal) -> str:
    return (
        f"{proposal.proposal_id} is stale: {proposal.agent} has another version since;"
        f" `stanchion policy graduate {proposal.agent}` looks anew"
    )


def _dumped(definition: AgentDefinition) -> dict[str, Any]:
    return definition.model_dump(mode="json")


def _hashes(tools: Sequence[Any]) -> dict[str, str]:
    return {tool.name: tool.pinned_hash for tool in tools}


def _asked(row: Mapping[str, Any]) -> ClosedApproval:
    decided = tuple(RecordedDecision(**each) for each in json.loads(row["decided"]))
    return ClosedApproval(**{**row, "decided": decided})
