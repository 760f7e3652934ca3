-- Alarms, budget grants, and the current budget of a run.

-- name: raise
-- Store alarms, each once, with an event; Slack reads the rows as an outbox. Returns the alarms that are new.
WITH new AS (
    INSERT INTO alarms (alarm_id, run_id, kind, body)
    SELECT :run_id || '/' || a.key, :run_id, a.kind, a.body::json
    FROM unnest(:keys::text[], :kinds::text[], :bodies::text[]) AS a (key, kind, body)
    ON CONFLICT DO NOTHING
    RETURNING alarm_id, run_id, kind, body
), logged AS (
    INSERT INTO events (run_id, kind, step, trace_id, body)
    SELECT run_id, kind, :step::int, :trace_id::text, body FROM new
)
SELECT alarm_id, pg_notify('stanchion_approvals', alarm_id)::text FROM new;

-- name: budget
-- The current budget of a run.
SELECT budget::text AS budget FROM runs WHERE run_id = :run_id;

-- name: run
-- The facts of a run that a grant is checked against.
SELECT r.run_id, r.agent, r.agent_version, r.tenant, r.requester, r.status, r.on_budget, r.budget::text AS budget,
       r.opened_at, (SELECT json_agg(k) FROM caps k WHERE k.tenant IN ('*', r.tenant))::text AS caps
FROM runs r WHERE r.run_id = :run_id;

-- name: grant
-- Add to the budget of a run. Added minutes are reserved in the same statement, from every window that counts them.
WITH given AS (
    SELECT outcome, raised FROM grant_budget(:grant_id, :run_id, :added::jsonb, :by, :reason, :proof, :key, :signature,
                                             :statement, :most::jsonb)
), held AS (
    SELECT ledger_reserve(:run_id || '/grant:' || :grant_id, :run_id, :wanted::jsonb, :hold_seconds::float8)
    FROM given WHERE outcome = 'given' AND :wanted::jsonb IS NOT NULL
), logged AS (
    INSERT INTO events (run_id, kind, trace_id, body)
    SELECT :run_id, e.kind, :trace_id::text, e.body::json
    FROM given, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body) WHERE outcome = 'given'
)
SELECT outcome, raised::text AS budget, (SELECT count(*) FROM held) AS holds FROM given;

-- name: breach
-- The latest breach of an open run's budget, with its message and the run's current budget.
SELECT a.body ->> 'reason' AS reason, a.body ->> 'rule' AS rule, (a.body ->> 'cap')::bigint AS cap,
       a.body ->> 'told' AS told, r.budget::text AS budget
FROM alarms a JOIN runs r USING (run_id)
WHERE a.run_id = :run_id AND a.kind = 'budget.breached' AND r.status = 'open'
ORDER BY a.at DESC LIMIT 1;
