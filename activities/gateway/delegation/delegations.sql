-- Delegations: calls that start a sub-agent. Each starts in one transaction, under a lock of the parent run.

-- name: lock
-- Serialize the delegations of one run, so that counting them and computing the budget left cannot race.
SELECT pg_advisory_xact_lock(hashtextextended(:run_id, 7305412204));

-- name: standing
-- The state of a run before a delegation: its number of sub-agents, how many of them are open, the goals of the run and
-- its ancestors, the use of its own windows, and whether the next sub-agent's run id exists already.
SELECT (SELECT count(*) FROM delegations d WHERE d.parent_run_id = r.run_id) AS total,
       (SELECT count(*) FROM delegations d
        JOIN effects e ON e.run_id = d.parent_run_id AND e.call_id = d.call_id AND e.state = 'waiting'
        LEFT JOIN runs c ON c.run_id = d.child_run_id
        WHERE d.parent_run_id = r.run_id AND coalesce(c.status, 'open') = 'open') AS width,
       ARRAY(SELECT l.agent || ':' || encode(l.goal_digest, 'hex') FROM runs l
             WHERE l.run_id = r.run_id OR l.run_id = ANY (r.lineage)) AS goals,
       (SELECT json_agg(json_build_array(w.unit, w.class, w.settled + w.overrun + w.reserved)) FROM windows w
        WHERE w.tenant = r.tenant AND w.scope = 'run' AND w.key = r.run_id AND w.period = 'run')::text AS used,
       EXISTS (SELECT FROM runs t WHERE t.run_id = :child) AS taken
FROM runs r WHERE r.run_id = :run_id;

-- name: begin
-- Store a delegation: its task, agent, budget and mode, and whether the task may be tainted, suspect or private.
INSERT INTO delegations (child_run_id, parent_run_id, call_id, agent, agent_version, task, budget, mode, upto_seq,
                         tainted_by, suspect, private_by)
VALUES (:child, :run_id, :call_id, :agent, :agent_version, :task, :budget, :mode, :upto_seq,
        :tainted_by, :suspect, :private_by);

-- name: child
-- The sub-agent of a call: how it ended, what it spent, and whether it has read untrusted, suspect or private data.
SELECT d.child_run_id, d.agent, d.task, r.status, r.outcome::text AS outcome,
       delegation_spent(d.child_run_id)::text AS spent,
       (SELECT v.body -> 'ending' FROM events v WHERE r.run_id IS NULL AND v.run_id = d.child_run_id
        AND v.kind = 'run.closed' ORDER BY v.n LIMIT 1)::text AS refused,
       coalesce(r.tainted_by IS NOT NULL OR EXISTS (
           SELECT FROM transcript t WHERE t.run_id = r.run_id AND t.origin = 'untrusted'), true) AS tainted,
       (SELECT t.suspect FROM transcript t WHERE t.run_id = r.run_id AND t.suspect IS NOT NULL
        ORDER BY t.seq LIMIT 1) AS suspect,
       coalesce(r.private_by IS NOT NULL OR EXISTS (
           SELECT FROM calls c
           JOIN effects e ON e.run_id = c.run_id AND e.call_id = c.call_id AND e.state <> 'refused'
           JOIN agents a ON a.version = r.agent_version
           CROSS JOIN json_array_elements(a.tools) x
           WHERE c.run_id = r.run_id AND x ->> 'name' = c.tool AND coalesce((x ->> 'private')::boolean, true)), true)
           AS private
FROM delegations d LEFT JOIN runs r ON r.run_id = d.child_run_id
WHERE d.parent_run_id = :run_id AND d.call_id = :call_id;

-- name: has_read_private
-- Mark a run as having read private data, through a sub-agent's answer.
UPDATE runs SET private_by = :by WHERE run_id = :run_id AND private_by IS NULL;
