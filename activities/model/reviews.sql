-- Reviews: what an agent said that was asked as one of several people.

-- name: about
-- An approval with its reviewer, what a person is shown of it, and the review if there is one.
SELECT a.approval_id, a.run_id, a.call_id, a.tool, a.tier, a.arguments::text AS arguments, a.origins::text AS origins,
       a.tainted, a.rule, a.reason, a.digest, a.state, a.reviewer, r.agent, c.seq,
       r.agent_version, r.tenant, r.requester, r.lineage, r.agents_above, r.budget::text AS budget,
       ARRAY(SELECT u.agent_version FROM unnest(r.lineage) WITH ORDINALITY l (run_id, n) JOIN runs u USING (run_id)
             ORDER BY l.n) AS versions_above,
       (SELECT json_agg(k) FROM caps k WHERE k.tenant IN ('*', r.tenant))::text AS caps,
       halt_notice(r.run_id, r.agent, NULL, r.tenant) AS halt,
       v.verdict, v.reason AS said, v.tokens, v.usd_micros
FROM approvals a
JOIN runs r USING (run_id)
JOIN calls c USING (run_id, call_id)
LEFT JOIN reviews v USING (approval_id)
WHERE a.approval_id = :approval_id AND a.run_id = :run_id;

-- name: told
-- What the run's user said before the call, oldest first: the goal and the messages that were proved.
SELECT left(block ->> 'text', 4000) AS text
FROM (SELECT t.seq, coalesce(t.content, b.text::json) AS content
      FROM transcript t LEFT JOIN blobs b ON b.digest = t.blob
      WHERE t.run_id = :run_id AND t.seq < :seq::int AND t.origin = 'user'
      ORDER BY t.seq LIMIT 20) said,
     json_array_elements(said.content) AS block
WHERE block ->> 'type' = 'text'
ORDER BY said.seq;

-- name: store
-- Store a review, once, and settle what it cost. A yes is one of the yeses that are needed, and only while the approval is open, several people
-- are asked, and no agent said yes before; anything else changes nothing but what people are shown.
WITH reviewed AS (
    INSERT INTO reviews (approval_id, agent, version, verdict, reason, tokens, usd_micros)
    VALUES (:approval_id, :agent, :version, :verdict, :reason, :tokens, :usd_micros)
    ON CONFLICT (approval_id) DO NOTHING
    RETURNING approval_id, verdict
), counted AS (
    UPDATE approvals a SET
        approved_by = approved_by || :by::text,
        state = CASE WHEN cardinality(approved_by) + 1 >= needed AND (subject IS NULL OR confirmed_at IS NOT NULL)
                     THEN 'approve' ELSE 'open' END,
        closed_at = CASE WHEN cardinality(approved_by) + 1 >= needed AND (subject IS NULL OR confirmed_at IS NOT NULL)
                         THEN now() END
    FROM reviewed
    WHERE a.approval_id = reviewed.approval_id AND reviewed.verdict = 'approve' AND a.state = 'open'
      AND a.reviewer = :agent AND a.digest = :digest AND a.needed > 1
      AND (a.expires_at IS NULL OR a.expires_at > now())
      AND NOT EXISTS (SELECT FROM unnest(a.approved_by) n WHERE starts_with(n, 'agent:'))
    RETURNING a.approval_id, a.run_id, a.call_id
), decided AS (
    INSERT INTO decisions (approval_id, by, verdict, reason, signed, proof)
    SELECT approval_id, :by, 'approve', :reason, false, 'agent' FROM counted
), logged AS (
    INSERT INTO events (run_id, kind, call_id, trace_id, body)
    SELECT a.run_id, e.kind, a.call_id, :trace_id::text, e.body::json
    FROM reviewed JOIN approvals a USING (approval_id), unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
), used AS (
    SELECT ledger_settle(:hold, :used::jsonb) FROM reviewed
)
SELECT pg_notify('stanchion_approvals', approval_id), (SELECT count(*) FROM used) AS holds FROM reviewed;
