-- Drills: what was measured, and when the last one was.

-- name: store
-- A drill's report, once and for good.
INSERT INTO drills (drill_id, passed, report, by, proof, key, signature, statement)
VALUES (:drill_id, :passed, (:report::text)::json, :by, :proof, :key, :signature, :statement);

-- name: latest
-- The last drill there was.
SELECT drill_id, passed, report::text AS report, by, proof, key, signature, statement, at, now() - at AS age
FROM drills ORDER BY at DESC LIMIT 1;

-- name: waiting
-- How many decoys stand where the halt is to find them: one that waits for a person, one that sleeps.
SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM approvals a WHERE a.run_id = r.run_id AND a.state = 'open'))
     + count(*) FILTER (WHERE EXISTS (SELECT FROM effects e WHERE e.run_id = r.run_id AND e.tool = 'wait')) AS there
FROM runs r WHERE r.tenant = :tenant AND r.status = 'open';

-- name: open_approvals
-- What decoys wait for: it is approved once they are halted, and must not be performed all the same.
SELECT a.approval_id, a.run_id FROM approvals a JOIN runs r USING (run_id) WHERE r.tenant = :tenant AND a.state = 'open';

-- name: blind
-- How many decoys could still claim an effect, asked as the claim asks: other controls may hide that this one is broken.
SELECT count(*) FILTER (WHERE NOT halted_at_claim(r.run_id, r.agent, 'touch', r.tenant)) AS runs
FROM runs r WHERE r.tenant = :tenant;

-- name: let_go
-- What decoys were cut short at is in doubt like any other effect, and would be counted for good; but it was a decoy's.
SELECT ledger_release(h.hold_id)
FROM holds h JOIN runs r USING (run_id) WHERE r.tenant = :tenant AND h.state IN ('reserved', 'lost');
