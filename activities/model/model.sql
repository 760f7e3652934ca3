-- name: begin_step
-- What a model call needs to know: the run and its budgets, the plan if this step was answered before, the halt that
-- stands against it, what the step before used, and what an attempt that came to nothing has put into the transcript.
SELECT r.agent, r.agent_version, r.tenant, r.requester, r.status, r.lineage, r.agents_above, s.plan,
       ARRAY(SELECT u.agent_version FROM unnest(r.lineage) WITH ORDINALITY l (run_id, n) JOIN runs u USING (run_id)
             ORDER BY l.n) AS versions_above,
       r.budget::text AS budget,
       (SELECT json_agg(k) FROM caps k WHERE k.tenant IN ('*', r.tenant))::text AS caps,
       halt_notice(r.run_id, r.agent, NULL, r.tenant) AS halt,
       b.seq AS seq_before, b.usage::text AS usage_before,
       (SELECT json_agg(json_build_object('kind', t.kind, 'content', coalesce(t.content::text, o.text)) ORDER BY t.seq)
        FROM transcript t LEFT JOIN blobs o ON o.digest = t.blob
        WHERE t.run_id = r.run_id AND t.seq >= :next_seq::int)::text AS written
FROM runs r
LEFT JOIN steps s ON s.run_id = r.run_id AND s.step = :step::int
LEFT JOIN steps b ON b.run_id = r.run_id AND b.step = :step::int - 1
WHERE r.run_id = :run_id;

-- name: endorse
-- A person restated a value the gateway refused for its origin: it is their own word from here on.
WITH endorsed AS (
    INSERT INTO endorsements (run_id, value, by, proof, key, signature, statement)
    VALUES (:run_id, :value, :by, :proof, :key, :signature, :statement::text)
    ON CONFLICT DO NOTHING
)
UPDATE approvals SET state = 'endorsed', closed_at = now()
WHERE run_id = :run_id AND about = 'endorse' AND state = 'open'
  AND strpos(lower(arguments::text), lower(:value)) > 0
RETURNING pg_notify('stanchion_approvals', approval_id);

-- name: store_response
-- Everything a model call leaves behind, in one statement: response, usage, plan, calls, what it cost, trace.
-- If another attempt was first, nothing is written and its plan comes back.
WITH step AS (
    INSERT INTO steps (run_id, step, seq, plan, model, stop_reason, usage, usd_micros)
    VALUES (:run_id, :step, :seq, :plan, :model, :stop_reason, :usage, :usd_micros)
    ON CONFLICT (run_id, step) DO NOTHING
    RETURNING run_id, plan
), blob AS (
    INSERT INTO blobs (digest, text)
    SELECT :blob::bytea, :blob_text::text FROM step WHERE :blob::bytea IS NOT NULL
    ON CONFLICT DO NOTHING
), response AS (
    INSERT INTO transcript (run_id, seq, kind, origin, content, blob)
    SELECT run_id, :seq::int, 'response', 'model', :content::json, :blob::bytea FROM step
), note AS (
    INSERT INTO transcript (run_id, seq, kind, origin, content)
    SELECT run_id, :seq::int + 1, 'note', 'trusted', (:note::text)::json FROM step WHERE :note::text IS NOT NULL
), planned AS (
    INSERT INTO calls (run_id, call_id, step, seq, tool, arguments, digest, invalid)
    SELECT step.run_id, c.call_id, :step::int, c.seq, c.tool, c.arguments::json, c.digest, c.invalid
    FROM step, unnest(:call_ids::text[], :seqs::int[], :tools::text[], :arguments::text[], :digests::text[],
                      :invalids::text[]) AS c (call_id, seq, tool, arguments, digest, invalid)
), logged AS (
    INSERT INTO events (run_id, kind, step, trace_id, body)
    SELECT step.run_id, e.kind, :step::int, :trace_id::text, e.body::json
    FROM step, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
), used AS (
    SELECT ledger_settle(:hold, :used::jsonb) FROM step
)
SELECT plan, true AS mine, (SELECT count(*) FROM used) AS holds FROM step
UNION ALL
SELECT plan, false, 0 FROM steps WHERE run_id = :run_id AND step = :step AND NOT EXISTS (SELECT FROM step);
