-- Opening the runs of sub-agents.

-- name: find
-- The delegation with a run id. It is over once the parent's run has ended, or the parent's call no longer waits for it.
-- It is never over if its run was opened before, so that opening the run can be repeated.
SELECT d.parent_run_id, d.agent, d.agent_version, p.tenant, p.requester, d.task, d.budget::text AS budget, d.mode,
       d.upto_seq, d.tainted_by, d.suspect, d.private_by,
       p.lineage || p.run_id AS lineage, p.agents_above || p.agent AS agents_above,
       (p.status <> 'open' OR e.state <> 'waiting')
           AND NOT EXISTS (SELECT FROM runs c WHERE c.run_id = d.child_run_id) AS over
FROM delegations d
JOIN runs p ON p.run_id = d.parent_run_id
JOIN effects e ON e.run_id = d.parent_run_id AND e.call_id = d.call_id
WHERE d.child_run_id = :run_id;

-- name: never_admitted
-- Store once why a delegated run was never opened, as an event, where the parent looks for the outcome.
INSERT INTO events (run_id, kind, trace_id, body)
SELECT d.child_run_id, e.kind, :trace_id::text, e.body::json
FROM delegations d, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
WHERE d.child_run_id = :run_id
  AND NOT EXISTS (SELECT FROM runs r WHERE r.run_id = d.child_run_id)
  AND NOT EXISTS (SELECT FROM events v WHERE v.run_id = d.child_run_id);

-- name: write_task
-- Write the task, a note about the messages that follow, and the messages of people to the runs above until upto_seq.
WITH said AS (
    SELECT row_number() OVER (ORDER BY t.seq) AS n, t.content, t.blob
    FROM transcript t
    WHERE t.run_id = :parent AND t.seq < :upto_seq::int AND t.origin = 'user' AND t.kind IN ('goal', 'message')
), written AS (
    INSERT INTO transcript (run_id, seq, kind, origin, content, blob, suspect)
    SELECT :run_id::text, 0, 'goal', 'model', :content::json, :blob::bytea, :suspect::text
    UNION ALL
    SELECT :run_id::text, 1, 'note', 'trusted', (:note::text)::json, NULL, NULL
    UNION ALL
    SELECT :run_id::text, 1 + said.n::int, 'message', 'user', said.content, said.blob, NULL FROM said
    ON CONFLICT (run_id, seq) DO NOTHING
), long_task AS (
    INSERT INTO blobs (digest, text)
    SELECT :blob::bytea, :blob_text::text WHERE :blob::bytea IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT 2 + count(*) AS next_seq FROM said;
