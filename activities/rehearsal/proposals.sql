-- Graduations: the decisions about an agent's calls, and the changes that were proposed because of them.

-- name: approvals
-- The closed approvals of an agent in a tenant, with their decisions, in the order in which they were closed.
-- Approvals of rollbacks are left out: they say nothing about what the agent may do without approval.
SELECT a.approval_id, a.run_id, a.call_id, a.tool, a.tier, a.class AS like, a.state, a.supersedes IS NOT NULL AS edited,
       a.needed, to_char(a.closed_at AT TIME ZONE 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS closed_at,
       (SELECT coalesce(json_agg(json_build_object('by', d.by, 'verdict', d.verdict, 'proof', d.proof, 'seconds',
                                 extract(epoch FROM d.at - a.requested_at)::float8) ORDER BY d.at, d.by), '[]')::text
        FROM decisions d WHERE d.approval_id = a.approval_id) AS decided
FROM approvals a JOIN runs r USING (run_id)
WHERE r.agent = :agent AND r.tenant = :tenant AND a.about = 'call' AND a.closed_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM rollbacks b WHERE b.rollback_id = r.run_id)
ORDER BY a.closed_at, a.approval_id;

-- name: tenants
-- The tenants of an agent's runs.
SELECT DISTINCT tenant FROM runs WHERE agent = :agent ORDER BY tenant;

-- name: propose
-- Store a proposal. An identical proposal stays unchanged, with its first author.
INSERT INTO proposals (proposal_id, agent, version, definition, evidence, proposed_by)
VALUES (:proposal_id, :agent, :version, :definition, :evidence, :by)
ON CONFLICT (proposal_id) DO NOTHING
RETURNING proposal_id;

-- name: proposal
-- One proposal, with the version that new runs of its agent get now.
SELECT p.proposal_id, p.agent, p.version, p.definition::text AS definition, p.evidence::text AS evidence, p.proposed_by,
       p.proposed_at, p.accepted_by, p.accepted_at, h.version AS head
FROM proposals p LEFT JOIN agent_heads h ON h.name = p.agent
WHERE p.proposal_id = :proposal_id;

-- name: all
-- All proposals, latest first.
SELECT p.proposal_id, p.agent, p.version, p.evidence::text AS evidence, p.proposed_by, p.proposed_at, p.accepted_by,
       p.accepted_at,
       CASE WHEN p.accepted_by IS NOT NULL THEN 'accepted' WHEN h.version = p.version THEN 'open' ELSE 'stale' END AS state
FROM proposals p LEFT JOIN agent_heads h ON h.name = p.agent
ORDER BY p.proposed_at DESC, p.proposal_id;

-- name: hold_head
-- The version that new runs of an agent get. The row lock keeps it unchanged until this transaction ends.
SELECT version FROM agent_heads WHERE name = :agent FOR UPDATE;

-- name: accept
-- Accept a proposal once, and store the proof. No row if it is accepted already, or if its author accepts it.
UPDATE proposals
SET accepted_by = :by, accepted_at = now(), evidence = (evidence::jsonb || jsonb_build_object('accepted', :proof::jsonb))::json
WHERE proposal_id = :proposal_id AND accepted_by IS NULL AND lower(proposed_by) <> lower(:by)
RETURNING proposal_id;
