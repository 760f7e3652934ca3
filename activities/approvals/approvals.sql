-- name: find
-- An approval of a run, with who asked for the run, and what this person decided about it already.
SELECT d.verdict AS mine, a.approval_id, a.call_id, a.about, a.tool, a.tier, a.state, a.digest, a.expires_at,
       a.requested_at, a.expires_at <= now() AS expired, a.needed, a.approved_by, a.subject, a.code_hash, a.confirmed_at,
       a.repeat_most,
       a.roles || CASE WHEN a.roles <> '{}' AND a.escalates_at <= now() THEN a.escalate_roles ELSE '{}' END AS roles,
       r.requester, r.status, r.tenant
FROM approvals a
JOIN runs r USING (run_id)
LEFT JOIN decisions d ON d.approval_id = a.approval_id AND lower(d.by) = lower(:by)
WHERE a.approval_id = :approval_id AND a.run_id = :run_id;

-- name: record
-- Store a decision, in one statement: only an open, unexpired approval takes one. A yes closes it once enough distinct
-- people said yes and whom it is about has confirmed; every other answer closes it at once.
WITH counted AS (
    UPDATE approvals SET
        approved_by = CASE WHEN :verdict = 'edit' THEN ARRAY[:by::text] -- nobody else has seen these arguments
                           WHEN :verdict = 'approve' AND :proof <> 'code' THEN approved_by || :by::text
                           ELSE approved_by END,
        confirmed_at = CASE WHEN :proof = 'code' THEN now() ELSE confirmed_at END,
        state = CASE WHEN :verdict <> 'approve' THEN :verdict
                     WHEN cardinality(approved_by) + (:proof <> 'code')::int >= needed
                          AND (subject IS NULL OR confirmed_at IS NOT NULL OR :proof = 'code') THEN 'approve'
                     ELSE 'open' END,
        closed_at = CASE WHEN :verdict <> 'approve'
                              OR cardinality(approved_by) + (:proof <> 'code')::int >= needed
                                 AND (subject IS NULL OR confirmed_at IS NOT NULL OR :proof = 'code') THEN now() END
    WHERE approval_id = :approval_id AND state = 'open' AND (expires_at IS NULL OR expires_at > now())
      AND NOT lower(:by) = ANY (SELECT lower(n) FROM unnest(approved_by) n)
      AND (:digest::text IS NULL OR digest = :digest::text) AND (:proof <> 'code' OR confirmed_at IS NULL)
    RETURNING approval_id, run_id, call_id, state, alike, expires_at, needed, cardinality(approved_by) AS approved,
              subject IS NOT NULL AND confirmed_at IS NULL AS unconfirmed
), decided AS (
    INSERT INTO decisions (approval_id, by, verdict, reason, arguments, key, signature, signed, proof,
                           statement)
    SELECT approval_id, :by, :verdict, :reason, :arguments, :key, :signature, :proof = 'signature', :proof,
           :statement::text
    FROM counted
), standing AS (
    INSERT INTO standing_approvals (approval_id, run_id, alike, uses_left, by, proof, expires_at)
    SELECT approval_id, run_id, alike, :repeat::int, :by, :proof, expires_at
    FROM counted WHERE state = 'approve' AND :repeat::int > 0 AND alike IS NOT NULL
), logged AS (
    INSERT INTO events (run_id, kind, call_id, trace_id, body)
    SELECT counted.run_id, e.kind, counted.call_id, :trace_id::text, e.body::json
    FROM counted, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
)
SELECT state, needed, approved, unconfirmed FROM counted;

-- name: wrong_code
-- Count a wrong one-time code; after too many the approval is over.
UPDATE approvals SET code_tries = code_tries + 1,
    state = CASE WHEN code_tries + 1 >= :most::int THEN 'withdrawn' ELSE state END,
    closed_at = CASE WHEN code_tries + 1 >= :most::int THEN now() ELSE closed_at END
WHERE approval_id = :approval_id AND state = 'open'
RETURNING state;

-- name: open
-- Open approvals, oldest first: what Slack, the CLI and the console show.
SELECT a.approval_id, a.run_id, a.call_id, a.about, a.tool, a.tier, a.arguments::text AS arguments, a.rule, a.reason,
       a.requested_at, a.expires_at, a.digest, a.needed, a.roles, a.approved_by, a.escalates_at, a.escalate_roles,
       a.subject, a.confirmed_at, a.origins::text AS origins, a.tainted, r.agent, r.tenant, r.requester,
       v.agent || CASE v.verdict WHEN 'approve' THEN ' says yes: ' WHEN 'reject' THEN ' says no: '
                                 ELSE ' gave no opinion: ' END || v.reason AS review
FROM approvals a
JOIN runs r USING (run_id)
LEFT JOIN reviews v USING (approval_id)
WHERE a.state = 'open'
ORDER BY a.requested_at LIMIT :most;

-- name: run_of
-- Which run an approval belongs to.
SELECT run_id, call_id, about, state, digest, subject FROM approvals WHERE approval_id = :approval_id;

-- name: unknown_of
-- The open question about a call whose outcome is not known.
SELECT approval_id FROM approvals
WHERE run_id = :run_id AND call_id = :call_id AND about = 'unknown'
ORDER BY (state = 'open') DESC, requested_at DESC LIMIT 1;

-- name: approvers
-- How each person decides: how often asked, how often yes, and how fast. Fast is below three seconds.
SELECT d.by AS approver, count(*) AS decided,
       count(*) FILTER (WHERE d.verdict = 'approve') AS approved,
       count(*) FILTER (WHERE d.verdict = 'approve' AND d.at - a.requested_at < interval '3 seconds') AS fast,
       round(extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY d.at - a.requested_at))::numeric, 1)::float8
           AS median_seconds
FROM decisions d JOIN approvals a USING (approval_id)
WHERE d.proof IN ('signature', 'unsigned') AND a.about = 'call' AND d.at > now() - make_interval(days => :days::int)
GROUP BY d.by ORDER BY count(*) DESC, d.by;
