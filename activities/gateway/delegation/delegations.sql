-- Delegations: a call that becomes another agent's run. Beginning one is one transaction, under a lock of its run.

-- name: lock
-- One delegation of a run at a time: how many there are and what is left of its budget is counted under this lock.
SELECT pg_advisory_xact_lock(hashtextextended(:run_id, 7305412204));

-- name: standing
-- Where a run stands: its sub-agents, those at work, the goals that it and the runs above it are at work on, what is
-- used of its own windows; and whether the id that its next sub-agent would have is taken.
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
-- What was delegated, to whom, with which budget, and what its task may be tainted by.
INSERT INTO delegations (child_run_id, parent_run_id, call_id, agent, agent_version, task, budget, mode, upto_seq,
                         tainted_by, suspect, private_by)
VALUES (:child, :run_id, :call_id, :agent, :agent_version, :task, :budget, :mode, :upto_seq,
        :tainted_by, :suspect, :private_by);

-- name: child
-- The sub-agent of a call, and what is known of it: how it ended, what it spent, and what it has read.
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
-- A run reads, in a sub-agent's answer, what must not leave the house.
UPDATE runs SET private_by = :by WHERE run_id = :run_id AND private_by IS NULL;
