-- Drills: their reports, and the queries that a drill needs.

-- name: store
-- Store the report of a drill.
INSERT INTO drills (drill_id, passed, report, by, proof, key, signature, statement)
VALUES (:drill_id, :passed, (:report::text)::json, :by, :proof, :key, :signature, :statement);

-- name: latest
-- The latest drill.
SELECT drill_id, passed, report::text AS report, by, proof, key, signature, statement, at, now() - at AS age
FROM drills ORDER BY at DESC LIMIT 1;

-- name: waiting
-- The number of decoys that wait for a person or sleep.
SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM approvals a WHERE a.run_id = r.run_id AND a.state = 'open'))
     + count(*) FILTER (WHERE EXISTS (SELECT FROM effects e WHERE e.run_id = r.run_id AND e.tool = 'wait')) AS there
FROM runs r WHERE r.tenant = :tenant AND r.status = 'open';

-- name: open_approvals
-- The open approvals of decoys. The drill approves them after the halt, and their calls must still not be performed.
SELECT a.approval_id, a.run_id FROM approvals a JOIN runs r USING (run_id) WHERE r.tenant = :tenant AND a.state = 'open';

-- name: blind
-- The number of decoys that could still claim an effect, with the check that the claim uses. Without this query, other
-- controls could hide that this check is broken.
SELECT count(*) FILTER (WHERE NOT halted_at_claim(r.run_id, r.agent, 'touch', r.tenant)) AS runs
FROM runs r WHERE r.tenant = :tenant;

-- name: let_go
-- Release the holds of decoys: the halt left effects with unknown outcomes, which would keep their holds for ever.
SELECT ledger_release(h.hold_id)
FROM holds h JOIN runs r USING (run_id) WHERE r.tenant = :tenant AND h.state IN ('reserved', 'lost');
