-- name: admit
-- Insert the run, or find the one that has this key. A run that is open has its slot and its minutes reserved; where
-- there is none left, this raises, and the run is not there.
WITH new AS (
    INSERT INTO runs (run_id, chain_id, agent, agent_version, tenant, requester, goal_digest, mode, budget,
                      on_budget, policy_version, parent_run_id, lineage, agents_above, tainted_by, private_by)
    VALUES (:run_id, :chain_id, :agent, :agent_version, :tenant, :requester, :goal_digest, :mode, :budget,
            :on_budget, :policy_version, :parent_run_id, :lineage, :agents_above, :tainted_by, :private_by)
    ON CONFLICT (run_id) DO UPDATE SET chain_id = excluded.chain_id
        WHERE runs.status = 'open' AND runs.goal_digest = excluded.goal_digest AND runs.agent = excluded.agent
    RETURNING run_id, agent, agent_version, goal_digest, mode, budget, on_budget, policy_version, status, outcome
), held AS (
    SELECT ledger_reserve(new.run_id || '/slot', new.run_id, :wanted::jsonb, :hold_seconds::float8)
    FROM new WHERE :wanted::jsonb IS NOT NULL
)
SELECT *, (SELECT count(*) FROM held) AS holds FROM new
UNION ALL
SELECT run_id, agent, agent_version, goal_digest, mode, budget, on_budget, policy_version, status, outcome, 0
FROM runs WHERE run_id = :run_id AND NOT EXISTS (SELECT FROM new);

-- name: caps
-- The caps that the operator and a tenant set; and what the last completed runs of an agent cost, the median in
-- micro-USD, NULL while there are fewer than `least`.
SELECT (SELECT json_agg(k) FROM caps k WHERE k.tenant IN ('*', :tenant))::text AS caps,
       (SELECT CASE WHEN count(*) >= :least::int THEN percentile_disc(0.5) WITHIN GROUP (ORDER BY c.cost) END
        FROM (SELECT ((r.outcome -> 'spent' ->> 'usd')::numeric * 1000000)::bigint AS cost FROM runs r
              WHERE r.agent = :agent AND r.status = 'completed'
              ORDER BY r.closed_at DESC LIMIT :most::int) c) AS typical;

-- name: log
-- Write trace events by themselves, where no other statement carries them.
INSERT INTO events (run_id, kind, step, call_id, trace_id, body)
SELECT :run_id::text, e.kind, e.step, e.call_id, :trace_id::text, e.body::json
FROM unnest(:kinds::text[], :steps::int[], :call_ids::text[], :bodies::text[]) AS e (kind, step, call_id, body);

-- name: unfinished
-- Calls that have no result, with what is known of their effect.
SELECT c.call_id, c.seq, c.step, c.tool, e.state, e.contract
FROM calls c
LEFT JOIN effects e USING (run_id, call_id)
WHERE c.run_id = :run_id
  AND NOT EXISTS (SELECT FROM transcript t
                  WHERE t.run_id = c.run_id AND t.call_id = c.call_id AND t.kind = 'result')
ORDER BY c.seq;

-- name: close
-- End the run: a result for every call that has none, claims abandoned or unknown, approvals withdrawn, what it still
-- held, the outcome.
-- A run that is closed already stays as it was.
WITH run AS (
    UPDATE runs SET status = :status, outcome = :outcome, closed_at = now()
    WHERE run_id = :run_id AND status = 'open'
    RETURNING run_id
), results AS (
    INSERT INTO transcript (run_id, seq, kind, origin, call_id, content)
    SELECT run.run_id, c.seq, 'result', 'trusted', c.call_id, c.content::json
    FROM run, unnest(:seqs::int[], :call_ids::text[], :contents::text[]) AS c (seq, call_id, content)
    ON CONFLICT DO NOTHING
), effects AS (
    UPDATE effects e SET state = CASE WHEN e.contract = 'pure' OR e.state = 'waiting' THEN 'abandoned' ELSE 'unknown' END,
        settled_at = now()
    FROM run WHERE e.run_id = run.run_id AND e.state IN ('claimed', 'waiting')
), waits AS (
    DELETE FROM vendor_waits w USING run WHERE w.run_id = run.run_id
), approvals AS (
    UPDATE approvals a SET state = 'withdrawn', closed_at = now()
    FROM run WHERE a.run_id = run.run_id AND a.state = 'open'
), events AS (
    INSERT INTO events (run_id, kind, trace_id, body)
    SELECT run.run_id, e.kind, :trace_id::text, e.body::json
    FROM run, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
), holds AS (
    SELECT ledger_close(run.run_id, :minutes::bigint) FROM run
)
SELECT EXISTS (SELECT FROM run) AS closed, (SELECT count(*) FROM holds) AS holds;

-- name: outcome
-- How a run ended, if it did.
SELECT status, outcome FROM runs WHERE run_id = :run_id;

-- name: final_answer
-- The last thing the model said.
SELECT t.seq, t.kind, t.origin, t.call_id, coalesce(t.content::text, b.text) AS content, t.suspect
FROM transcript t LEFT JOIN blobs b ON b.digest = t.blob
WHERE t.run_id = :run_id AND t.kind = 'response'
ORDER BY t.seq DESC LIMIT 1;

-- name: to_check
-- The open runs that Temporal was asked about longest ago, and from now on the latest. By place in the table, which a
-- locked row keeps: by id the planner reads the whole table.
UPDATE runs SET checked_at = now()
WHERE ctid = ANY (ARRAY(SELECT ctid FROM runs WHERE status = 'open' ORDER BY checked_at, run_id LIMIT :most::int
                        FOR UPDATE SKIP LOCKED))
RETURNING run_id;

-- name: last_pass
-- When the reaper made its last pass, as far as the runs that are still open tell; NULL if no pass is known of.
SELECT nullif(checked_at, '-infinity') AS at FROM runs WHERE status = 'open' ORDER BY checked_at DESC, run_id DESC LIMIT 1;

-- name: still_open
-- Which of these runs our tables hold open.
SELECT run_id FROM runs WHERE run_id = ANY (:run_ids::text[]) AND status = 'open';

-- name: left_behind
-- What a run has done and used, as far as it is written down: of its active time nobody but itself kept count.
SELECT count(*) AS steps, coalesce(sum(s.usd_micros), 0)::bigint AS usd_micros,
       coalesce(sum((s.plan ->> 'tokens')::bigint), 0)::bigint AS tokens,
       (SELECT count(*) FROM transcript t WHERE t.run_id = :run_id AND t.kind = 'result') AS tool_calls
FROM steps s WHERE s.run_id = :run_id;
