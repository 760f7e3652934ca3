-- name: begin_step
-- What a model call needs to know: the facts of its run, the plan if this step was answered before, the halt that stands
-- against it, what the step before used, and the rows of the transcript that are not known yet, those that an attempt
-- which came to nothing has put there included.
SELECT r.agent, r.agent_version, r.tenant, r.requester, r.mode, r.frozen_policy, r.status, r.tainted_by, r.private_by,
       r.lineage, r.agents_above, r.versions_above, r.heads, r.endorsed, r.budget, r.caps, r.run_digest,
       s.plan, halt_notice(r.run_id, r.agent, NULL, r.tenant) AS halt,
       (SELECT json_agg(json_build_object('scope', o.scope, 'model', o.model, 'error', o.error, 'reason', o.reason,
                                          'needs_person', o.needs_person,
                                          'retry_in', extract(epoch FROM o.retry_at - now())))::text
        FROM vendor_outages o) AS outages,
       EXISTS (SELECT FROM vendor_waits w WHERE w.run_id = r.run_id) AS waits,
       b.seq AS seq_before, b.usage::text AS usage_before,
       t.seqs, t.kinds, t.origins, t.call_ids, t.contents, t.suspects
FROM run_facts r
LEFT JOIN steps s ON s.run_id = r.run_id AND s.step = :step::int
LEFT JOIN steps b ON b.run_id = r.run_id AND b.step = :step::int - 1
CROSS JOIN LATERAL (
    SELECT array_agg(u.seq) AS seqs, array_agg(u.kind) AS kinds, array_agg(u.origin) AS origins,
           array_agg(u.call_id) AS call_ids, array_agg(u.content) AS contents, array_agg(u.suspect) AS suspects
    FROM (SELECT t.seq, t.kind, t.origin, t.call_id, coalesce(t.content::text, o.text) AS content, t.suspect
          FROM transcript t LEFT JOIN blobs o ON o.digest = t.blob
          WHERE t.run_id = r.run_id AND t.seq >= :from_seq::int ORDER BY t.seq) u
) t
WHERE r.run_id = :run_id;

-- name: reserve_next
-- Reserve for the next step of a run whose last step this worker has planned. No row, and nothing is reserved, if
-- anything is another than it knows: the run is over, a fact of it has changed, the step was answered before, a halt
-- stands against it, its model vendor has failed, or the transcript does not end where the step begins.
SELECT ledger_reserve(:hold, r.run_id, :wanted::jsonb, :seconds::float8)::text AS held
FROM run_facts r
WHERE r.run_id = :run_id
  AND r.status = 'open'
  AND r.run_digest = :run_digest::text
  AND NOT EXISTS (SELECT FROM steps s WHERE s.run_id = r.run_id AND s.step = :step::int)
  AND halt_notice(r.run_id, r.agent, NULL, r.tenant) IS NULL
  AND NOT EXISTS (SELECT FROM vendor_outages o WHERE o.scope = ANY (:scopes::text[]))
  AND (SELECT max(t.seq) FROM transcript t WHERE t.run_id = r.run_id) = :next_seq::int - 1;

-- name: endorse
-- A person restated a value the gateway refused for its origin: it is their own word from here on.
WITH endorsed AS (
    INSERT INTO endorsements (run_id, value, by, proof, key, signature, statement)
    VALUES (:run_id, :value, :by, :proof, :key, :signature, :statement::text)
    ON CONFLICT DO NOTHING
)
UPDATE approvals SET state = 'endorsed', closed_at = now()
WHERE run_id = :run_id AND about = 'endorse' AND state = 'open'
  -- Compared as text, because JSON writes other letters than ASCII, and quotes, as escapes.
  AND EXISTS (SELECT FROM jsonb_path_query(arguments::jsonb, 'strict $.**') AS each
              WHERE jsonb_typeof(each) = 'string' AND strpos(lower(each #>> '{}'), lower(:value)) > 0)
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
