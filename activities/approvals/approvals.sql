-- name: find
-- An approval of a run, with who asked for the run, and what this person decided about it already.
SELECT d.verdict AS mine, a.approval_id, a.call_id, a.about, a.tool, a.tier, a.state, a.expires_at <= now() AS expired, r.requester, r.status
FROM approvals a
JOIN runs r USING (run_id)
LEFT JOIN decisions d ON d.approval_id = a.approval_id AND d.by = :by
WHERE a.approval_id = :approval_id AND a.run_id = :run_id;

-- name: record
-- Store a decision and close its approval, in one statement: only an open, unexpired approval takes one.
WITH closed AS (
    UPDATE approvals SET state = :verdict, closed_at = now()
    WHERE approval_id = :approval_id AND state = 'open' AND (expires_at IS NULL OR expires_at > now())
    RETURNING approval_id, run_id, call_id
), decided AS (
    INSERT INTO decisions (approval_id, by, verdict, reason, arguments, key, signature, signed)
    SELECT approval_id, :by, :verdict, :reason, :arguments, :key, :signature, :signed FROM closed
), logged AS (
    INSERT INTO events (run_id, kind, call_id, trace_id, body)
    SELECT closed.run_id, e.kind, closed.call_id, :trace_id::text, e.body::json
    FROM closed, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
)
SELECT EXISTS (SELECT FROM closed) AS closed;

-- name: open
-- Open approvals, oldest first: what Slack, the CLI and the console show.
SELECT a.approval_id, a.run_id, a.call_id, a.about, a.tool, a.tier, a.arguments::text AS arguments, a.rule, a.reason,
       a.requested_at, a.expires_at, r.agent, r.tenant, r.requester
FROM approvals a JOIN runs r USING (run_id)
WHERE a.state = 'open'
ORDER BY a.requested_at LIMIT :most;

-- name: run_of
-- Which run an approval belongs to.
SELECT run_id, call_id, about, state FROM approvals WHERE approval_id = :approval_id;

-- name: unknown_of
-- The open question about a call whose outcome is not known.
SELECT approval_id FROM approvals
WHERE run_id = :run_id AND call_id = :call_id AND about = 'unknown'
ORDER BY (state = 'open') DESC, requested_at DESC LIMIT 1;
