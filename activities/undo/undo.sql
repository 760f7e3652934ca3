-- Rollbacks: their orders, and which call undoes which effect. SQL functions write both, so that no effect is undone
-- twice.

-- name: target
-- The run to be rolled back.
SELECT tenant, status, agent_version FROM runs WHERE run_id = :run_id;

-- name: order
-- Order a rollback, or find the existing one. No row if the run is open.
SELECT rollback_id FROM order_rollback(:run, :step::int, :again::boolean, :who, :why, :proof, :key::text, :signature::text,
                                       :statement::text);

-- name: find
-- A rollback, and the run that it undoes.
SELECT b.rollback_id, b.of_run, b.to_step, b.by, b.reason, b.proof, r.agent, r.agent_version, r.tenant, r.mode,
       (SELECT count(*) FROM calls c WHERE c.run_id = b.of_run) AS calls
FROM rollbacks b JOIN runs r ON r.run_id = b.of_run
WHERE b.rollback_id = :rollback_id;

-- name: latest
-- The latest rollback of a run to a step.
SELECT rollback_id FROM rollbacks WHERE of_run = :run_id AND to_step = :to_step::int ORDER BY number DESC LIMIT 1;

-- name: calls
-- The calls of a run after a step, the last one first, with their effects and the calls that undo them.
SELECT c.call_id, c.step, c.tool, e.state, coalesce((e.result ->> 'is_error')::boolean, false) AS is_error,
       coalesce((e.result ->> 'happened')::boolean, true) AS happened,
       u.by_run, u.by_call, u.tool AS by_tool, b.status AS by_status, x.state AS by_state,
       coalesce((x.result ->> 'is_error')::boolean, false) AS by_error,
       coalesce((x.result ->> 'happened')::boolean, true) AS by_happened,
       (SELECT v.body ->> 'rule' || ': ' || (v.body ->> 'reason') FROM events v
        WHERE v.run_id = u.by_run AND v.call_id = u.by_call AND v.kind = 'verdict.given' ORDER BY v.n DESC LIMIT 1) AS by_rule,
       (SELECT s.run_id FROM delegations d JOIN runs s ON s.run_id = d.child_run_id
        WHERE d.parent_run_id = c.run_id AND d.call_id = c.call_id) AS sub_agent
FROM calls c
LEFT JOIN effects e ON e.run_id = c.run_id AND e.call_id = c.call_id
LEFT JOIN undos u ON u.run_id = c.run_id AND u.call_id = c.call_id AND NOT u.given_up
LEFT JOIN runs b ON b.run_id = u.by_run
LEFT JOIN effects x ON x.run_id = u.by_run AND x.call_id = u.by_call
WHERE c.run_id = :run_id AND c.step > :to_step::int
ORDER BY c.seq DESC;

-- name: recorded
-- The record of one call: the arguments that it was performed with, and its whole result.
SELECT coalesce((SELECT m.arguments FROM approvals p JOIN decisions m ON m.approval_id = p.approval_id
                 WHERE p.run_id = c.run_id AND p.call_id = c.call_id AND p.about = 'call'
                   AND p.state IN ('edit', 'superseded') AND m.verdict = 'edit' ORDER BY m.at DESC LIMIT 1),
                c.arguments)::text AS arguments,
       t.origin, t.suspect, o.text AS output, coalesce(t.content::text, b.text) AS content,
       (SELECT coalesce(v.body ->> 'settled_by', 'result') FROM events v WHERE v.run_id = c.run_id AND v.call_id = c.call_id
          AND v.kind = 'call.observed' ORDER BY v.n DESC LIMIT 1) AS settled_by
FROM calls c
JOIN effects e ON e.run_id = c.run_id AND e.call_id = c.call_id
JOIN transcript t ON t.run_id = c.run_id AND t.call_id = c.call_id AND t.kind = 'result'
LEFT JOIN blobs b ON b.digest = t.blob
LEFT JOIN blobs o ON o.digest = e.output
WHERE c.run_id = :run_id AND c.call_id = :call_id;

-- name: take
-- Store that the call by_call undoes an effect. False if another call undoes it, or by_call undoes another effect.
SELECT take_undo(:by_run, :by_call, :run_id, :call_id, :tool, :arguments::json, :origins::json, :private::boolean,
                 :suspect::text) AS taken;

-- name: taken
-- The call that a call undoes, with the undo's tool, arguments and their origins.
SELECT run_id, call_id, tool, arguments::text AS arguments, origins::text AS origins, private, suspect
FROM undos WHERE by_run = :by_run AND by_call = :by_call;

-- name: requester
-- The requester of a run.
SELECT requester FROM runs WHERE run_id = :run_id;
