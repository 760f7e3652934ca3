"""Proposals: stores a tried graduation; publishes it once a second person accepts it."""

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
    """There is no such proposal; `stanchion policy proposals` lists all proposals."""


@dataclass(frozen=True)
class SigningPerson:
    """The person who proposes or accepts, with their key; without a key, the request is unsigned."""

    by: str
    key: str | None = None
    sign: Callable[[Statement], str] | None = None


@dataclass(frozen=True)
class Proposal:
    """A new definition for an agent, with the version that it replaces and the evidence.

    `head`: the version that new runs get now.
    """

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
        """The SHA-256 of all parts of the proposal, which a person signs to accept it."""
        evidence = {key: value for key, value in self.evidence.items() if key != "accepted"}
        return sha256_hex([self.proposal_id, self.agent, self.version, _dumped(self.definition), evidence])


def proposal_id_for(agent: str, version: str, definition: AgentDefinition) -> str:
    """The proposal's id: the same change of the same version always has the same id."""
    return "pp-" + sha256_hex([agent, version, _dumped(definition)])[:16]


def proposal_statement(proposal_id: str, person: SigningPerson, at: datetime) -> Statement:
    """The statement that a person signs to propose."""
    return {"kind": "proposal", "proposal_id": proposal_id, "by": person.by, "at": instant(at), "key": person.key}


def acceptance_statement(proposal: Proposal, person: SigningPerson, at: datetime) -> Statement:
    """The statement that a person signs to accept; the digest binds it to this change and its evidence."""
    fields = {"kind": "acceptance", "proposal_id": proposal.proposal_id, "digest": proposal.digest}
    return fields | {"by": person.by, "at": instant(at), "key": person.key}


class Proposals:
    """Stores, lists and accepts proposals. An unproved proposal or acceptance is refused."""

    def __init__(self, database: Database, authority: Authority) -> None:
        self._database = database
        self._authority = authority

    async def approvals(self, agent: str, tenant: str) -> list[ClosedApproval]:
        """The closed approvals of an agent in a tenant, in the order in which they were closed."""
        return [
            _closed_approval(dict(row))
            for row in await SQL["approvals"].rows(self._database, agent=agent, tenant=tenant)
        ]

    async def propose(
        self, agent: AgentVersion, new: AgentVersion, evidence: dict[str, Any], person: SigningPerson
    ) -> Proposal:
        """Store the change from one version to another. Raises ProposalRefused if the person is not proved."""
        name = agent.definition.name
        proposal_id = proposal_id_for(name, agent.version, new.definition)
        at = datetime.now(UTC)
        statement = proposal_statement(proposal_id, person, at)
        author, proof = await self._identified(name, evidence["tenant"], person, statement, at)
        await SQL["propose"].row(
            self._database,
            proposal_id=proposal_id,
            agent=name,
            version=agent.version,
            definition=canonical_json(_dumped(new.definition)),
            evidence=canonical_json(evidence | {"proposed": proof}),
            by=author.name,
        )
        return await self.find(proposal_id)

    async def find(self, proposal_id: str) -> Proposal:
        """One proposal. Raises ProposalUnknown, or ProposalRefused if its row was changed after it was stored."""
        row = await SQL["proposal"].row(self._database, proposal_id=proposal_id)
        if row is None:
            raise ProposalUnknown(f"there is no proposal {proposal_id!r}; `stanchion policy proposals` lists them")
        columns = dict(row)
        definition = AgentDefinition.model_validate_json(columns.pop("definition"))
        proposal = Proposal(definition=definition, evidence=json.loads(columns.pop("evidence")), **columns)
        if proposal_id_for(proposal.agent, proposal.version, definition) != proposal_id:
            raise ProposalRefused(f"{proposal_id} was changed in the database after it was made; propose it again")
        return proposal

    async def all(self) -> list[dict[str, Any]]:
        """All proposals, latest first, each with its state: open, accepted or stale."""
        rows = [dict(row) for row in await SQL["all"].rows(self._database)]
        return [row | {"evidence": json.loads(row["evidence"])} for row in rows]

    async def accept(self, proposal_id: str, person: SigningPerson) -> tuple[Proposal, AgentVersion]:
        """Accept a proposal and publish its version.

        Raises ProposalUnknown, ProposalRefused, DefinitionInvalid, StoreUnavailable.
        """
        proposal = await self.find(proposal_id)
        _refuse_closed(proposal)
        at = datetime.now(UTC)
        statement = acceptance_statement(proposal, person, at)
        author, proof = await self._identified(
            proposal.agent, proposal.evidence["tenant"], person, statement, at, not_before=proposal.proposed_at
        )
        if author.name.casefold() == proposal.proposed_by.casefold():
            raise ProposalRefused(f"{author.name} proposed it; a second person has to accept it")
        new = await self._resolved(proposal)
        await self._publish(proposal, new, author, proof)
        return await self.find(proposal_id), new

    async def _resolved(self, proposal: Proposal) -> AgentVersion:
        """The proposed agent version. Its tools must be identical to those of the version that it replaces."""
        old = await Agents(self._database).version(proposal.version)
        new = resolve(proposal.definition, old.source)
        if _hashes(old.tools) != _hashes(new.tools):
            raise ProposalRefused("a tool has changed since the agent was published; publish the agent first")
        return new

    async def _publish(self, proposal: Proposal, new: AgentVersion, author: Identified, proof: Statement) -> None:
        """Accept and publish in one transaction, which locks the agent's head against other publications."""
        async with self._database.transaction() as connection:
            head = await SQL["hold_head"].on(connection, agent=proposal.agent)
            if not head or head[0]["version"] != proposal.version:
                raise ProposalRefused(_stale(proposal))
            accepted = await SQL["accept"].on(
                connection, proposal_id=proposal.proposal_id, by=author.name, proof=canonical_json(proof)
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
        person: SigningPerson,
        statement: Statement,
        at: datetime,
        not_before: datetime | None = None,
    ) -> tuple[Identified, Statement]:
        """The proved person, and the proof to store.

        If the agent has runs for several tenants, the person must be registered for every tenant ('*').
        """
        tenants = {row["tenant"] for row in await SQL["tenants"].rows(self._database, agent=agent)}
        signature = person.sign(statement) if person.sign else None
        author = await self._authority.identify(
            tenant=tenant if tenants <= {tenant} else EVERY_TENANT,
            by=person.by,
            key=person.key,
            signature=signature,
            statement=statement,
            at=at,
            not_before=not_before,
        )
        if isinstance(author, Unproven):
            raise ProposalRefused(f"{person.by}: {author.reason}")
        return author, {"by": author.name, "proof": author.proof, "statement": statement, "signature": signature}


def _refuse_closed(proposal: Proposal) -> None:
    if proposal.accepted_by:
        raise ProposalRefused(f"{proposal.proposal_id} was accepted by {proposal.accepted_by}")
    if proposal.head != proposal.version:
        raise ProposalRefused(_stale(proposal))


def _stale(proposal: Proposal) -> str:
    return (
        f"{proposal.proposal_id} is stale: {proposal.agent} has a new version since;"
        f" `stanchion policy graduate {proposal.agent}` makes a new proposal"
    )


def _dumped(definition: AgentDefinition) -> dict[str, Any]:
    return definition.model_dump(mode="json")


def _hashes(tools: Sequence[Any]) -> dict[str, str]:
    return {tool.name: tool.pinned_hash for tool in tools}


def _closed_approval(row: Mapping[str, Any]) -> ClosedApproval:
    decided = tuple(RecordedDecision(**each) for each in json.loads(row["decided"]))
    return ClosedApproval(**{**row, "decided": decided})
