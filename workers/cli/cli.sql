-- name: find_runs
-- The runs whose id is `name`, or ends in a slash and `name`.
SELECT run_id FROM runs WHERE run_id = :name OR run_id LIKE '%/' || :name ORDER BY opened_at DESC LIMIT 3;

-- name: runs
-- A page of the latest runs, with the number of open approvals of each. The status of an open run also says whether it
-- is halted, or paused because its budget is used up and nobody has added to it since. Decoys of drills are left out
-- unless `drills` is true. The page is selected first, so that the cost does not grow with the number of runs.
-- `after` is the last run of the previous page.
WITH page AS (
    SELECT r.run_id, r.parent_run_id, r.agent, r.tenant, r.requester, r.opened_at, r.closed_at, r.status
    FROM runs r
    WHERE (:agent::text IS NULL OR r.agent = :agent) AND (NOT :open_only::boolean OR r.status = 'open')
      AND (:drills::boolean OR NOT starts_with(r.agent, :drill))
      AND (:after::text IS NULL
           OR (r.opened_at, r.run_id) < (SELECT l.opened_at, l.run_id FROM runs l WHERE l.run_id = :after))
    ORDER BY r.opened_at DESC, r.run_id DESC LIMIT :most::int
)
SELECT p.run_id, p.parent_run_id, p.agent, p.tenant, p.requester, p.opened_at, p.closed_at,
       CASE WHEN p.status <> 'open' THEN p.status
            WHEN EXISTS (SELECT FROM halts_on(p.run_id, p.agent, NULL, p.tenant)) THEN 'halted'
            WHEN (SELECT max(m.at) FROM alarms m WHERE m.run_id = p.run_id AND m.kind = 'budget.breached')
                 > coalesce((SELECT max(g.at) FROM budget_grants g WHERE g.run_id = p.run_id), '-infinity') THEN 'paused'
            WHEN EXISTS (SELECT FROM vendor_waits v WHERE v.run_id = p.run_id AND v.needs_person) THEN 'paused'
            WHEN a.waiting > 0 OR EXISTS (SELECT FROM vendor_waits v WHERE v.run_id = p.run_id) THEN 'waiting'
            ELSE 'running' END AS status,
       (SELECT count(*) FROM steps s WHERE s.run_id = p.run_id) AS steps,
       a.waiting AS approvals
FROM page p
CROSS JOIN LATERAL (SELECT count(*) AS waiting FROM approvals q WHERE q.run_id = p.run_id AND q.state = 'open') a
ORDER BY p.opened_at DESC, p.run_id DESC;

-- name: runs_after
-- How many of these runs follow the run `after`; counted up to `most`.
SELECT count(*) AS runs FROM (
    SELECT FROM runs r
    WHERE (:agent::text IS NULL OR r.agent = :agent) AND (NOT :open_only::boolean OR r.status = 'open')
      AND (:drills::boolean OR NOT starts_with(r.agent, :drill))
      AND r.opened_at <= (SELECT z.opened_at FROM runs z WHERE z.run_id = :after)
      AND (r.opened_at, r.run_id) < (SELECT z.opened_at, z.run_id FROM runs z WHERE z.run_id = :after)
    LIMIT :most::int) counted;

-- name: drilled
-- How many runs of drills were left out of a page: those between `after`, the last run of the previous page, and `last`.
SELECT count(*) AS runs FROM runs r
WHERE starts_with(r.agent, :drill) AND (NOT :open_only::boolean OR r.status = 'open')
  AND r.opened_at <= coalesce((SELECT z.opened_at FROM runs z WHERE z.run_id = :after), 'infinity')
  AND r.opened_at >= coalesce((SELECT z.opened_at FROM runs z WHERE z.run_id = :last), '-infinity')
  AND (:after::text IS NULL OR
       (r.opened_at, r.run_id) < (SELECT z.opened_at, z.run_id FROM runs z WHERE z.run_id = :after))
  AND (:last::text IS NULL OR
       (r.opened_at, r.run_id) > (SELECT z.opened_at, z.run_id FROM runs z WHERE z.run_id = :last));

-- name: run
-- One run.
SELECT run_id, parent_run_id, agent, agent_version, tenant, requester, mode, status, budget::text, outcome::text,
       policy_version, opened_at, closed_at
FROM runs WHERE run_id = :run_id;

-- name: reached
-- The status of a run and the number of its last step.
SELECT r.status, coalesce((SELECT max(s.step) FROM steps s WHERE s.run_id = r.run_id), 0) AS steps
FROM runs r WHERE r.run_id = :run_id;

-- name: children
-- The sub-agents of a run, in the order in which they were started.
SELECT d.child_run_id AS run_id, d.call_id, d.agent, coalesce(r.status, 'not open') AS status, left(d.task, 200) AS task
FROM delegations d LEFT JOIN runs r ON r.run_id = d.child_run_id
WHERE d.parent_run_id = :run_id ORDER BY d.at, d.call_id;

-- name: rollbacks
-- The rollbacks of a run, oldest first.
SELECT b.rollback_id, b.to_step, b.by, b.proof, coalesce(r.status, 'not open') AS status, b.reason, b.at
FROM rollbacks b LEFT JOIN runs r ON r.run_id = b.rollback_id
WHERE b.of_run = :run_id ORDER BY b.at, b.number;

-- name: calls
-- The calls of a run in their order, with the state of their effects and the rule of their last verdict.
SELECT c.call_id, c.tool, coalesce(e.state, 'planned') AS state, e.contract, e.fence,
       v.body ->> 'rule' AS rule, left(c.arguments::text, 200) AS arguments, e.claimed_at, e.settled_at
FROM calls c
LEFT JOIN effects e USING (run_id, call_id)
LEFT JOIN LATERAL (SELECT body FROM events v WHERE v.run_id = c.run_id AND v.call_id = c.call_id
                   AND v.kind = 'verdict.given' ORDER BY v.n DESC LIMIT 1) v ON true
WHERE c.run_id = :run_id ORDER BY c.seq;

-- name: approvals_of
-- The approvals of a run with their decisions.
SELECT a.approval_id, a.call_id, a.about, a.tool, a.tier, a.state, a.requested_at, a.expires_at, d.by, d.proof,
       d.reason, d.signed
FROM approvals a LEFT JOIN decisions d USING (approval_id)
WHERE a.run_id = :run_id ORDER BY a.requested_at;

-- name: waiting
-- The open approvals of a run and of the sub-agents below it.
SELECT a.run_id, a.approval_id, a.call_id, a.about, a.tool, a.tier
FROM approvals a JOIN runs r USING (run_id)
WHERE a.state = 'open' AND (a.run_id = :run_id OR :run_id = ANY (r.lineage)) ORDER BY a.requested_at, a.approval_id;

-- name: events
-- The events of a run's trace log after event number `after`.
SELECT n, at, kind, step, call_id, trace_id, body::text AS body
FROM events WHERE run_id = :run_id AND n > :after ORDER BY n LIMIT 1000;

-- name: effects_of_tools
-- How many effects of these tools one run settled without an error.
SELECT count(*) AS effects FROM effects
WHERE run_id = :run_id AND tool = ANY (:tools::text[]) AND state = 'settled'
  AND coalesce((result::json ->> 'is_error')::boolean, false) = false;
