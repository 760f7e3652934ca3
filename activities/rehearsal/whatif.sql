-- Recorded calls, to be evaluated again. All queries only read.

-- name: calls
-- A page of calls, the latest run first, and in each run the last call first. Each has its facts when it was first
-- evaluated, the values that people had endorsed by then, and its first verdict in the trace.
WITH page AS (
    SELECT r.opened_at, r.run_id, r.agent, r.agent_version, r.tenant, r.requester, r.mode,
           r.policy_version AS frozen_policy, r.status, r.tainted_by, r.private_by, r.lineage, coalesce(s.seq, c.seq) AS response_seq,
           c.call_id, c.step, c.seq, c.tool, c.arguments::text AS arguments, c.digest, c.invalid, s.at AS planned_at
    FROM runs r JOIN calls c USING (run_id) LEFT JOIN steps s USING (run_id, step)
    WHERE (:tenant::text IS NULL OR r.tenant = :tenant)
      AND (:agent::text IS NULL OR r.agent = :agent)
      AND (:since::timestamptz IS NULL OR (s.at >= :since AND (r.closed_at IS NULL OR r.closed_at >= :since)))
      AND (:only::text[] IS NULL OR c.run_id || ' ' || c.call_id = ANY (:only))
      AND (:after_run::text IS NULL OR (r.opened_at, r.run_id, c.seq) < (:after::timestamptz, :after_run, :after_seq::int))
    ORDER BY r.opened_at DESC, r.run_id DESC, c.seq DESC
    LIMIT :most::int
), judged AS (
    SELECT DISTINCT ON (e.run_id, e.call_id) e.run_id, e.call_id, e.at, e.body ->> 'verdict' AS verdict,
           e.body ->> 'rule' AS rule
    FROM events e
    WHERE e.run_id IN (SELECT run_id FROM page) AND e.kind = 'verdict.given'
    ORDER BY e.run_id, e.call_id, e.n
)
SELECT p.opened_at, p.run_id, p.agent, p.agent_version, p.tenant, p.requester, p.mode, p.frozen_policy, p.status,
       p.tainted_by, p.private_by, p.lineage,
       ARRAY(SELECT u.agent_version FROM unnest(p.lineage) WITH ORDINALITY l (run_id, n) JOIN runs u USING (run_id)
             ORDER BY l.n) AS versions_above,
       p.response_seq, p.call_id, p.step, p.seq, p.tool, p.arguments, p.digest, p.invalid,
       ARRAY(SELECT n.value FROM endorsements n
             WHERE n.run_id = p.run_id AND n.at <= coalesce(j.at, p.planned_at) ORDER BY n.at) AS endorsed,
       j.verdict AS recorded_verdict, j.rule AS recorded_rule
FROM page p LEFT JOIN judged j USING (run_id, call_id)
ORDER BY p.opened_at DESC, p.run_id DESC, p.seq DESC;

-- name: observed
-- A page of the calls that were not performed because of mode observe, of an agent or of a run, ordered by run.
SELECT e.run_id, e.n, e.call_id, e.body ->> 'tool' AS tool, e.body ->> 'reason' AS reason, e.at,
       c.arguments::text AS arguments
FROM runs r JOIN events e USING (run_id) LEFT JOIN calls c USING (run_id, call_id)
WHERE r.mode = 'observe' AND (:agent::text IS NULL OR r.agent = :agent) AND (:run_id::text IS NULL OR r.run_id = :run_id)
  AND e.kind = 'verdict.given' AND e.body ->> 'rule' = :rule
  AND (:after_run::text IS NULL OR (e.run_id, e.n) > (:after_run, :after::bigint))
ORDER BY e.run_id, e.n LIMIT :most::int;

-- name: observing
-- The number of runs in mode observe, of an agent or with a run id, and the number of all their calls.
SELECT count(DISTINCT r.run_id) AS runs, count(c.call_id) AS calls
FROM runs r LEFT JOIN calls c USING (run_id)
WHERE r.mode = 'observe' AND (:agent::text IS NULL OR r.agent = :agent) AND (:run_id::text IS NULL OR r.run_id = :run_id);

-- name: known_agent
-- Whether an agent of that name is registered, or has runs.
SELECT EXISTS (SELECT FROM agent_heads WHERE name = :agent) OR EXISTS (SELECT FROM runs WHERE agent = :agent) AS known;
