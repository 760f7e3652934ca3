-- name: find
-- One approval of a run, with the run's requester and the earlier verdict of this person.
SELECT d.verdict AS mine, a.approval_id, a.call_id, a.about, a.tool, a.tier, a.state, a.digest, a.expires_at,
       a.requested_at, a.expires_at <= now() AS expired, a.needed, a.approved_by, a.subject, a.code_hash, a.confirmed_at,
       a.repeat_most,
       a.roles || CASE WHEN a.roles <> '{}' AND a.escalates_at <= now() THEN a.escalate_roles ELSE '{}' END AS roles,
       r.requester, r.status, r.tenant
FROM approvals a
JOIN runs r USING (run_id)
LEFT JOIN decisions d ON d.approval_id = a.approval_id AND d.by = :by
WHERE a.approval_id = :approval_id AND a.run_id = :run_id;

-- name: record
-- Store a decision in one statement. The approval must be open and not expired.
-- "approve" and "did-not" (which lets the call be tried again) close the approval once enough distinct people gave them
-- and the subject, if there is one, has confirmed. Every other verdict closes it at once.
-- Names are removed from approved_by if the person is revoked, or if their latest decision about this call was signed
-- with a key that is revoked (`gone`).
WITH gone AS (
    SELECT p.name FROM principals p, runs r
    WHERE r.run_id = :run_id AND p.tenant IN (r.tenant, '*') AND p.revoked_at IS NOT NULL
    UNION ALL
    SELECT last.by FROM (
        SELECT DISTINCT ON (d.by) d.by, d.key FROM decisions d JOIN approvals q USING (approval_id)
        WHERE q.run_id = :run_id AND q.call_id = :call_id ORDER BY d.by, d.at DESC
    ) last JOIN keys k USING (key) WHERE k.revoked_at IS NOT NULL
), counted AS (
    UPDATE approvals a SET (approved_by, confirmed_at, state, closed_at) = (
        SELECT said.people, said.confirmed, said.state, CASE WHEN said.state <> 'open' THEN now() END
        FROM (
            SELECT heard.people, heard.confirmed,
                   CASE WHEN :verdict NOT IN ('approve', 'did-not') THEN :verdict
                        WHEN cardinality(heard.people) >= a.needed
                             AND (a.subject IS NULL OR heard.confirmed IS NOT NULL) THEN :verdict
                        ELSE 'open' END AS state
            FROM (
                SELECT CASE WHEN :verdict = 'edit' THEN ARRAY[:by::text] -- earlier approvals were for other arguments
                            WHEN :verdict IN ('approve', 'did-not') AND :proof <> 'code' THEN still.people || :by::text
                            ELSE still.people END AS people,
                       CASE WHEN :proof = 'code' THEN now() ELSE a.confirmed_at END AS confirmed
                FROM (SELECT ARRAY(SELECT n FROM unnest(a.approved_by) n
                                   WHERE n NOT IN (SELECT name FROM gone)) AS people) still
            ) heard
        ) said
    )
    WHERE a.approval_id = :approval_id AND a.state = 'open' AND (a.expires_at IS NULL OR a.expires_at > now())
      AND (:proof = 'code' OR :by <> ALL (a.approved_by) AND NOT EXISTS (
              SELECT FROM principals p, runs r
              WHERE r.run_id = :run_id AND p.tenant IN (r.tenant, '*') AND p.name = :by AND p.revoked_at IS NOT NULL))
      AND NOT EXISTS (SELECT FROM keys k WHERE k.key = :key AND k.revoked_at IS NOT NULL)
      AND (:digest::text IS NULL OR a.digest = :digest::text) AND (:proof <> 'code' OR a.confirmed_at IS NULL)
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

-- name: try_code
-- Count a try of a one-time code before the code is compared. No row: all tries are used up. The caller compares the
-- code in the same transaction, so that the row lock keeps other tries waiting.
UPDATE approvals SET code_tries = code_tries + 1
WHERE approval_id = :approval_id AND state = 'open' AND confirmed_at IS NULL AND code_hash IS NOT NULL
  AND code_tries < :most::int
RETURNING code_tries, code_hash;

-- name: withdraw
-- Close an approval after too many wrong codes.
UPDATE approvals SET state = 'withdrawn', closed_at = now() WHERE approval_id = :approval_id AND state = 'open';

-- name: open
-- Open approvals, oldest first, as Slack, the CLI and the console show them. `after`: the last id of the previous page.
SELECT a.approval_id, a.run_id, a.call_id, a.about, a.tool, a.tier, a.arguments::text AS arguments, a.rule, a.reason,
       a.requested_at, a.expires_at, a.digest, a.needed, a.roles, a.approved_by, a.escalates_at, a.escalate_roles,
       a.subject, a.confirmed_at, a.origins::text AS origins, a.tainted, r.agent, r.tenant, r.requester,
       v.agent || CASE v.verdict WHEN 'approve' THEN ' says yes: ' WHEN 'reject' THEN ' says no: '
                                 ELSE ' gave no opinion: ' END || v.reason AS review
FROM approvals a
JOIN runs r USING (run_id)
LEFT JOIN reviews v USING (approval_id)
WHERE a.state = 'open'
  AND (:after::text IS NULL
       OR (a.requested_at, a.approval_id) > (SELECT l.requested_at, l.approval_id FROM approvals l
                                             WHERE l.approval_id = :after))
ORDER BY a.requested_at, a.approval_id LIMIT :most;

-- name: open_after
-- The number of open approvals after the approval `after`, counted up to `most`.
SELECT count(*) AS approvals FROM (
    SELECT FROM approvals a
    WHERE a.state = 'open'
      AND a.requested_at >= (SELECT z.requested_at FROM approvals z WHERE z.approval_id = :after)
      AND (a.requested_at, a.approval_id) >
          (SELECT z.requested_at, z.approval_id FROM approvals z WHERE z.approval_id = :after)
    LIMIT :most::int) counted;

-- name: run_of
-- The run of an approval, with the approval's call, kind, state, digest and subject.
SELECT run_id, call_id, about, state, digest, subject FROM approvals WHERE approval_id = :approval_id;

-- name: unknown_of
-- The approval that asks what became of a call with an unknown outcome; an open one first.
SELECT approval_id FROM approvals
WHERE run_id = :run_id AND call_id = :call_id AND about = 'unknown'
ORDER BY (state = 'open') DESC, requested_at DESC LIMIT 1;

-- name: approvers
-- Each person's number of decisions, approvals and fast approvals (under three seconds), and the median in seconds.
SELECT d.by AS approver, count(*) AS decided,
       count(*) FILTER (WHERE d.verdict = 'approve') AS approved,
       count(*) FILTER (WHERE d.verdict = 'approve' AND d.at - a.requested_at < interval '3 seconds') AS fast,
       round(extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY d.at - a.requested_at))::numeric, 1)::float8
           AS median_seconds
FROM decisions d JOIN approvals a USING (approval_id)
WHERE d.proof IN ('signature', 'unsigned') AND a.about = 'call' AND d.at > now() - make_interval(days => :days::int)
GROUP BY d.by ORDER BY count(*) DESC, d.by;
