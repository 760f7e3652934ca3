-- name: load
-- One call as planned, with its run, its effect so far, its latest approval and the decision on that approval.
SELECT r.agent, r.agent_version, r.tenant, r.requester, r.mode, r.frozen_policy, r.status, r.tainted_by, r.private_by,
       r.lineage, r.agents_above, r.versions_above, r.heads, r.endorsed, r.budget, r.caps, r.run_digest,
       coalesce(s.seq, c.seq) AS response_seq,
       c.step, c.seq, c.tool, c.arguments::text AS arguments, c.digest, c.invalid,
       e.state, e.fence, e.contract, e.wait_until, e.result::text AS result,
       a.approval_id, a.about, a.digest AS approved_digest,
       a.arguments::text AS approved_arguments, coalesce(a.approved_by, '{}') AS approved_by, a.needed, a.subject, a.roles,
       a.code_hash IS NOT NULL AS code_sent, a.state AS approval_state, a.expires_at,
       a.expires_at <= now() AS expired, a.reviewer,
       d.by AS decided_by, d.reason AS decision_reason,
       (SELECT m.arguments::text FROM approvals p JOIN decisions m ON m.approval_id = p.approval_id
        WHERE p.run_id = c.run_id AND p.call_id = c.call_id AND p.about = 'call' AND p.state IN ('edit', 'superseded')
          AND m.verdict = 'edit' ORDER BY m.at DESC LIMIT 1) AS edited,
       halt_notice(c.run_id, r.agent, c.tool, r.tenant) AS halt
FROM calls c
JOIN run_facts r USING (run_id)
LEFT JOIN steps s USING (run_id, step)
LEFT JOIN effects e USING (run_id, call_id)
LEFT JOIN LATERAL (
    SELECT * FROM approvals p WHERE p.run_id = c.run_id AND p.call_id = c.call_id AND p.about <> 'endorse'
    ORDER BY p.requested_at DESC, p.about DESC LIMIT 1
) a ON true
LEFT JOIN LATERAL (
    SELECT string_agg(m.by, ', ' ORDER BY m.at) AS by, string_agg(m.reason, '; ' ORDER BY m.at) AS reason
    FROM decisions m WHERE m.approval_id = a.approval_id AND m.verdict = a.state
) d ON true
WHERE c.run_id = :run_id AND c.call_id = :call_id;

-- name: claim
-- Claim the effect: the first claim inserts its row, a later one takes it over with a higher fence. No row is returned
-- if the run is closed, if a committed halt covers the call, if the worker was fenced, or if the approval is not for
-- exactly this call, was not given or has expired. The first claim also fails if something that the verdict depends on
-- has changed: the run's facts (view run_facts), the call, or its latest approval. So a verdict may safely be older
-- than this statement. The statement also reserves what the call uses; if a budget has too little left, it raises and
-- changes nothing.
WITH claim AS (
    INSERT INTO effects (run_id, call_id, tool, contract, effect, fence, state, digest, approval_id, wait_until, worker)
    SELECT r.run_id, :call_id, :tool, :contract, :effect, 1, :state, :digest, :approval_id, :wait_until, :worker
    FROM run_facts r
    WHERE r.run_id = :run_id
      AND r.status = 'open'
      AND NOT halted_at_claim(r.run_id, r.agent, :tool, r.tenant)
      AND NOT EXISTS (SELECT FROM workers w WHERE w.worker_id = :worker AND w.fenced_at IS NOT NULL)
      AND (:seen_fence::int IS NOT NULL OR r.run_digest = :run_digest::text)
      AND (:seen_fence::int IS NOT NULL OR EXISTS (
            SELECT FROM calls c WHERE c.run_id = r.run_id AND c.call_id = :call_id AND c.digest = :call_digest::text))
      AND (:seen_fence::int IS NOT NULL OR :approval_id::text IS NOT DISTINCT FROM (
            SELECT p.approval_id FROM approvals p
            WHERE p.run_id = r.run_id AND p.call_id = :call_id AND p.about <> 'endorse'
            ORDER BY p.requested_at DESC, p.about DESC LIMIT 1))
      AND (:approval_id::text IS NULL OR EXISTS (
            SELECT FROM approvals a
            WHERE a.approval_id = :approval_id AND a.digest = :approved_digest::text
              AND a.state IN ('approve', 'edit', 'did-not') AND (a.expires_at IS NULL OR a.expires_at > now())))
    ON CONFLICT (run_id, call_id) DO UPDATE
        SET fence = effects.fence + 1, state = 'claimed', worker = excluded.worker, claimed_at = now()
        WHERE effects.fence = :seen_fence::int AND effects.state IN ('claimed', 'unknown')
    RETURNING run_id, fence
), logged AS (
    INSERT INTO events (run_id, kind, step, call_id, trace_id, body)
    SELECT claim.run_id, e.kind, :step::int, :call_id, :trace_id::text, e.body::json
    FROM claim, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
), held AS (
    SELECT ledger_reserve(claim.run_id || '/' || :call_id, claim.run_id, :wanted::jsonb, :hold_seconds::float8, now())
    FROM claim WHERE :wanted::jsonb IS NOT NULL
)
SELECT fence, (SELECT count(*) FROM held) AS holds FROM claim;

-- name: settle
-- Store the effect's result, its transcript row, its use of budgets and its events, in one statement. If the attempt
-- was fenced off or its run was closed meanwhile, only an event for the late result is stored.
WITH settled AS (
    UPDATE effects
    SET state = 'settled', settled_at = now(), result = :result, output = :output
    WHERE run_id = :run_id AND call_id = :call_id AND fence = :fence AND state IN ('claimed', 'waiting', 'unknown')
      AND NOT EXISTS (SELECT FROM transcript t WHERE t.run_id = :run_id AND t.seq = :seq::int)
    RETURNING run_id
), blobs AS (
    INSERT INTO blobs (digest, text)
    SELECT b.digest, b.text FROM settled, unnest(:blobs::bytea[], :blob_texts::text[]) AS b (digest, text)
    ON CONFLICT DO NOTHING
), result AS (
    INSERT INTO transcript (run_id, seq, kind, origin, call_id, content, blob, suspect)
    SELECT run_id, :seq::int, 'result', :origin, :call_id, :content::json, :blob::bytea, :suspect::text FROM settled
), logged AS (
    INSERT INTO events (run_id, kind, step, call_id, trace_id, body)
    SELECT settled.run_id, e.kind, :step::int, :call_id, :trace_id::text, e.body::json
    FROM settled, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
), late AS (
    INSERT INTO events (run_id, kind, step, call_id, trace_id, body)
    SELECT :run_id, 'result.late', :step::int, :call_id, :trace_id::text, :late::json
    WHERE NOT EXISTS (SELECT FROM settled)
), used AS (
    SELECT ledger_settle(settled.run_id || '/' || :call_id, :used::jsonb) FROM settled
)
SELECT EXISTS (SELECT FROM settled) AS settled, (SELECT count(*) FROM used) AS holds;

-- name: refuse
-- Store that a call is not performed: its effect row, the result for the model, the events. A claimed or settled call
-- is not changed.
WITH refused AS (
    INSERT INTO effects (run_id, call_id, tool, contract, effect, fence, state, digest, result, worker, settled_at)
    VALUES (:run_id, :call_id, :tool, :contract, :effect, 1, 'refused', :digest, :result, :worker, now())
    ON CONFLICT (run_id, call_id) DO NOTHING
    RETURNING run_id
), result AS (
    INSERT INTO transcript (run_id, seq, kind, origin, call_id, content, blob)
    SELECT run_id, :seq::int, 'result', 'trusted', :call_id, :content::json, :blob::bytea FROM refused
), blob AS (
    INSERT INTO blobs (digest, text)
    SELECT :blob::bytea, :blob_text::text FROM refused WHERE :blob::bytea IS NOT NULL
    ON CONFLICT DO NOTHING
), approval AS (
    UPDATE approvals SET state = :approval_state, closed_at = now()
    FROM refused WHERE approvals.run_id = refused.run_id AND approvals.call_id = :call_id AND approvals.state = 'open'
                   AND approvals.about <> 'endorse'
), logged AS (
    INSERT INTO events (run_id, kind, step, call_id, trace_id, body)
    SELECT refused.run_id, e.kind, :step::int, :call_id, :trace_id::text, e.body::json
    FROM refused, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
)
SELECT EXISTS (SELECT FROM refused) AS refused;

-- name: ask
-- Open an approval for a call, once. CLI and Slack read the row; NOTIFY wakes them. If a standing approval covers the
-- call, the approval is given at once and one use of the standing approval is consumed. If the call was edited by one of
-- several approvers, the approval that was edited becomes superseded.
WITH standing AS (
    UPDATE standing_approvals s SET uses_left = uses_left - 1
    WHERE s.approval_id = (SELECT t.approval_id FROM standing_approvals t
                           WHERE t.run_id = :run_id AND t.alike = :alike::text AND t.uses_left > 0
                             AND t.expires_at > now() AND :standing::boolean
                             AND NOT EXISTS (SELECT FROM principals p JOIN runs r ON p.tenant IN (r.tenant, '*')
                                             WHERE r.run_id = t.run_id AND p.name = t.by AND p.revoked_at IS NOT NULL)
                             AND NOT EXISTS (SELECT FROM decisions d JOIN keys k USING (key)
                                             WHERE d.approval_id = t.approval_id AND d.by = t.by AND k.revoked_at IS NOT NULL)
                           ORDER BY t.approval_id LIMIT 1)
      AND s.uses_left > 0 AND NOT EXISTS (SELECT FROM approvals a WHERE a.approval_id = :approval_id)
    RETURNING s.by, s.proof
), asked AS (
    INSERT INTO approvals (approval_id, run_id, call_id, about, tool, tier, arguments, digest, rule, reason, expires_at,
                           needed, roles, approved_by, escalates_at, escalate_roles, reviewer, subject,
                           repeat_most, class, alike, origins, tainted, supersedes, state, closed_at)
    VALUES (:approval_id, :run_id, :call_id, 'call', :tool, :tier, :arguments, :digest, :rule, :reason, :expires_at,
            :needed, :roles::text[], :approved_by::text[] || ARRAY(SELECT by FROM standing), :escalates_at::timestamptz,
            :escalate_roles::text[], :reviewer, :subject, :repeat_most, :class, :alike, :origins::json, :tainted,
            :supersedes::text,
            CASE WHEN EXISTS (SELECT FROM standing) THEN 'approve' ELSE 'open' END,
            CASE WHEN EXISTS (SELECT FROM standing) THEN now() END)
    ON CONFLICT (approval_id) DO NOTHING
    RETURNING run_id
), granted AS (
    INSERT INTO decisions (approval_id, by, verdict, reason, signed, proof)
    SELECT :approval_id, standing.by, 'approve', 'one of the next calls like the one approved before',
           standing.proof = 'signature', 'standing'
    FROM standing, asked
), superseded AS (
    UPDATE approvals SET state = 'superseded'
    FROM asked WHERE approvals.approval_id = :supersedes::text
), logged AS (
    INSERT INTO events (run_id, kind, step, call_id, trace_id, body)
    SELECT asked.run_id, e.kind, :step::int, :call_id, :trace_id::text, e.body::json
    FROM asked, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
)
SELECT pg_notify('stanchion_approvals', :approval_id) FROM asked;

-- name: new_code
-- Store the hash of the one-time code that was sent last; it replaces an earlier code.
UPDATE approvals SET code_hash = :code_hash WHERE approval_id = :approval_id AND state = 'open' AND confirmed_at IS NULL
RETURNING approval_id;

-- name: want_endorsement
-- Show people a call that was denied because of the origins of its values; a person may restate a value.
WITH wanted AS (
    INSERT INTO approvals (approval_id, run_id, call_id, about, tool, tier, arguments, digest, rule, reason, origins,
                           tainted)
    VALUES (:approval_id, :run_id, :call_id, 'endorse', :tool, :tier, :arguments, :digest, :rule, :reason,
            :origins::json, true)
    ON CONFLICT (approval_id) DO NOTHING
    RETURNING approval_id
)
SELECT pg_notify('stanchion_approvals', approval_id) FROM wanted;

-- name: doubt
-- Mark the outcome of a claimed effect as unknown, and ask people what happened. They need the same roles as for
-- approving the call, because the answer "it did not happen" performs the call again.
WITH doubted AS (
    UPDATE effects SET state = 'unknown'
    WHERE run_id = :run_id AND call_id = :call_id AND fence = :fence AND state IN ('claimed', 'unknown')
    RETURNING run_id, digest
), asked AS (
    INSERT INTO approvals (approval_id, run_id, call_id, about, tool, tier, arguments, digest, rule, reason,
                           needed, roles, escalates_at, escalate_roles)
    SELECT :approval_id, run_id, :call_id, 'unknown', :tool, :tier, :arguments, digest, 'effect.unknown', :reason,
           :needed, :roles::text[], :escalates_at::timestamptz, :escalate_roles::text[]
    FROM doubted
    ON CONFLICT (approval_id) DO NOTHING
    RETURNING run_id
), logged AS (
    INSERT INTO events (run_id, kind, step, call_id, trace_id, body)
    SELECT asked.run_id, e.kind, :step::int, :call_id, :trace_id::text, e.body::json
    FROM asked, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
)
SELECT EXISTS (SELECT FROM doubted) AS doubted, (SELECT pg_notify('stanchion_approvals', :approval_id)::text FROM asked);

-- name: output
-- The whole output of an earlier call of the same run, with its origin and suspect mark.
SELECT b.text, t.origin, t.suspect
FROM effects e
JOIN transcript t ON t.run_id = e.run_id AND t.call_id = e.call_id AND t.kind = 'result'
LEFT JOIN blobs b ON b.digest = e.output
WHERE e.run_id = :run_id AND e.call_id = :call_id;
