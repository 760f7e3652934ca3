-- name: admit
-- Insert a run, or find the run with this key. An open run reserves its slot and its minutes. If none are left,
-- ledger_reserve raises, and the run is not inserted.
WITH new AS (
    INSERT INTO runs (run_id, chain_id, agent, agent_version, tenant, requester, goal_digest, mode, budget,
                      on_budget, policy_version, parent_run_id, lineage, agents_above, tainted_by, private_by, engine)
    VALUES (:run_id, :chain_id, :agent, :agent_version, :tenant, :requester, :goal_digest, :mode, :budget,
            :on_budget, :policy_version, :parent_run_id, :lineage, :agents_above, :tainted_by, :private_by, :engine)
    ON CONFLICT (run_id) DO UPDATE SET chain_id = excluded.chain_id, engine = excluded.engine
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
-- The caps of the operator and of a tenant; and the typical cost of an agent: the median of its last completed runs in
-- micro-USD, NULL if there are fewer than `least`.
SELECT (SELECT json_agg(k) FROM caps k WHERE k.tenant IN ('*', :tenant))::text AS caps,
       (SELECT CASE WHEN count(*) >= :least::int THEN percentile_disc(0.5) WITHIN GROUP (ORDER BY c.cost) END
        FROM (SELECT ((r.outcome -> 'spent' ->> 'usd')::numeric * 1000000)::bigint AS cost FROM runs r
              WHERE r.agent = :agent AND r.status = 'completed'
              ORDER BY r.closed_at DESC LIMIT :most::int) c) AS typical;

-- name: log
-- Write trace events that belong to no other statement.
INSERT INTO events (run_id, kind, step, call_id, trace_id, body)
SELECT :run_id::text, e.kind, e.step, e.call_id, :trace_id::text, e.body::json
FROM unnest(:kinds::text[], :steps::int[], :call_ids::text[], :bodies::text[]) AS e (kind, step, call_id, body);

-- name: unfinished
-- Calls without a result, with the state and the contract of their effects.
SELECT c.call_id, c.seq, c.step, c.tool, e.state, e.contract
FROM calls c
LEFT JOIN effects e USING (run_id, call_id)
WHERE c.run_id = :run_id
  AND NOT EXISTS (SELECT FROM transcript t
                  WHERE t.run_id = c.run_id AND t.call_id = c.call_id AND t.kind = 'result')
ORDER BY c.seq;

-- name: close
-- Close a run: store its outcome, add missing results, abandon its claims or mark them unknown, withdraw its open
-- approvals, write events, and settle its holds. A run that is closed already is not changed.
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
-- The status and the outcome of a run.
SELECT status, outcome FROM runs WHERE run_id = :run_id;

-- name: last_responses
-- The last responses of the model, the last one first, each with why it stopped.
SELECT t.seq, t.kind, t.origin, t.call_id, coalesce(t.content::text, b.text) AS content, t.suspect, s.stop_reason
FROM transcript t JOIN steps s USING (run_id, seq) LEFT JOIN blobs b ON b.digest = t.blob
WHERE t.run_id = :run_id AND t.kind = 'response'
ORDER BY t.seq DESC LIMIT 100;

-- name: to_check
-- Take the open runs of this Temporal that were checked longest ago, and mark them as checked now. The update finds rows
-- by ctid, which does not change while a row is locked; by run_id the planner would read the whole table.
UPDATE runs SET checked_at = now()
WHERE ctid = ANY (ARRAY(SELECT ctid FROM runs WHERE status = 'open' AND engine IN ('', :engine::text) ORDER BY checked_at, run_id LIMIT :most::int
                        FOR UPDATE SKIP LOCKED))
RETURNING run_id;

-- name: last_pass
-- The time of the reaper's last pass, taken from the runs that are still open; NULL if no pass is known.
SELECT nullif(checked_at, '-infinity') AS at FROM runs WHERE status = 'open' AND engine IN ('', :engine::text)
ORDER BY checked_at DESC, run_id DESC LIMIT 1;

-- name: still_open
-- Those of these runs that are open in our tables and live in this Temporal.
SELECT run_id FROM runs WHERE run_id = ANY (:run_ids::text[]) AND status = 'open' AND engine IN ('', :engine::text);

-- name: left_behind
-- The stored usage of a dead run. Its active time is not known: only the run itself counted it.
SELECT count(*) AS steps, coalesce(sum(s.usd_micros), 0)::bigint AS usd_micros,
       coalesce(sum((s.plan ->> 'tokens')::bigint), 0)::bigint AS tokens,
       (SELECT count(*) FROM transcript t WHERE t.run_id = :run_id AND t.kind = 'result') AS tool_calls
FROM steps s WHERE s.run_id = :run_id;

-- name: engines
-- The Temporals that open runs live in, with how many.
SELECT engine, count(*) AS runs FROM runs WHERE status = 'open' AND engine <> '' GROUP BY engine ORDER BY engine;
