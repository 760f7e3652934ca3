-- Halts: order, lift, list. The functions order_halt and order_lift do one order each, in one statement.

-- name: order
-- Halt a scope. Waits until no claim is under way. in_flight: the effects that are claimed then, and not settled.
SELECT halt_id, scope, target, by, reason, proof, at, in_flight::text AS in_flight, lifted_at
FROM order_halt(:halt_id, :scope, :target, :by, :reason, :proof, :key, :signature, :statement);

-- name: lift
-- Store one person's order to lift.
SELECT lifted, by_whom FROM order_lift(:halt_id, :by, :proof, :key, :signature, :statement, :people::int);

-- name: active
-- The halts in force. The halt of a run is over once the run and all its sub-agents have ended.
SELECT h.halt_id, h.scope, h.target, h.by, h.reason, h.proof, h.at, h.in_flight::text AS in_flight, h.lifted_at,
       ARRAY(SELECT o.by FROM lift_orders o WHERE o.halt_id = h.halt_id ORDER BY o.at) AS lift_ordered_by
FROM halts h
WHERE h.lifted_at IS NULL
  AND (h.scope <> 'run' OR NOT EXISTS (SELECT FROM runs r WHERE r.run_id = h.target AND r.status <> 'open')
       OR EXISTS (SELECT FROM runs r WHERE r.status = 'open' AND r.parent_run_id IS NOT NULL
                  AND h.target = ANY (r.lineage)))
ORDER BY h.at;

-- name: find
-- A halt in force or lifted.
SELECT halt_id, scope, target, by, reason, proof, at, in_flight::text AS in_flight, lifted_at FROM halts
WHERE halt_id = :halt_id;

-- name: tenant_of
-- The tenant of a run.
SELECT tenant FROM runs WHERE run_id = :run_id;

-- name: in_flight
-- The outcomes of the effects that were in flight when a halt committed.
SELECT f.run_id, f.call_id, f.tool, f.contract,
       CASE WHEN e.state = 'settled' AND NOT coalesce((e.result ->> 'is_error')::boolean, false) THEN 'done'
            WHEN e.state IN ('settled', 'refused', 'abandoned') THEN 'not done'
            WHEN e.state = 'claimed' AND e.contract = 'pure' THEN 'not done'
            ELSE 'unknown' END AS outcome
FROM halts h, json_to_recordset(h.in_flight) AS f (run_id text, call_id text, tool text, contract text)
LEFT JOIN effects e ON e.run_id = f.run_id AND e.call_id = f.call_id
WHERE h.halt_id = :halt_id
ORDER BY f.run_id, f.call_id;

-- name: unnotified_halts
-- Halts of runs that are still open, for instance because Temporal was down when the halt was ordered. Each such run is
-- notified once more.
SELECT h.halt_id, h.scope, h.target, h.by, h.reason
FROM halts h JOIN runs r ON r.run_id = h.target
WHERE h.scope = 'run' AND h.lifted_at IS NULL AND h.told_at IS NULL AND r.status = 'open'
  AND h.at < now() - make_interval(secs => :age);

-- name: left_running
-- Halted runs that our tables closed more than `age` seconds ago. They may still run in Temporal if it was down then.
SELECT h.halt_id, h.scope, h.target, h.by, h.reason
FROM halts h JOIN runs r ON r.run_id = h.target
WHERE h.scope = 'run' AND h.lifted_at IS NULL AND r.status <> 'open' AND r.closed_at < now() - make_interval(secs => :age);

-- name: unnotified_lifts
-- Lifted halts whose paused runs may not all be notified yet.
SELECT halt_id, scope, target, by, reason FROM halts
WHERE lifted_at IS NOT NULL AND told_at IS NULL AND scope IN ('agent', 'tenant', 'fleet')
ORDER BY lifted_at LIMIT 20;

-- name: told
-- Note that all runs in scope were notified of the lift, or that the one run was notified of its halt.
UPDATE halts SET told_at = now() WHERE halt_id = :halt_id AND told_at IS NULL;

-- name: retire
-- Lift the halts of runs that have ended, with all their sub-agents, more than `age` seconds ago.
UPDATE halts h SET lifted_at = now()
WHERE h.scope = 'run' AND h.lifted_at IS NULL
  AND NOT EXISTS (SELECT FROM runs r WHERE r.run_id = h.target AND r.closed_at > now() - make_interval(secs => :age))
  AND EXISTS (SELECT FROM runs r WHERE r.run_id = h.target AND r.status <> 'open')
  AND NOT EXISTS (SELECT FROM runs r WHERE r.status = 'open' AND r.parent_run_id IS NOT NULL
                  AND h.target = ANY (r.lineage))
RETURNING h.halt_id;
