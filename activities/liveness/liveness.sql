-- Worker processes, their locks, and takeovers of dead workers.

-- name: register
-- Register a worker and its queues, also one that counted as dead. Workers that died 7 days ago or earlier are deleted.
WITH old AS (
    DELETE FROM workers WHERE gone_at < now() - interval '7 days'
)
INSERT INTO workers (worker_id, queues) VALUES (:worker_id, :queues)
ON CONFLICT (worker_id) DO UPDATE SET queues = excluded.queues
RETURNING number, backend_pid,
          coalesce(gone_at IS NULL AND taken_at > now() - interval '3 seconds', false) AS is_being_taken_over;

-- name: hold
-- Take the worker's lock in this session. False if an earlier session of the worker still holds it.
SELECT pg_try_advisory_lock(worker_locks(), :number::integer) AS held;

-- name: replace
-- Terminate the worker's own earlier session, which a broken network connection keeps open.
SELECT pg_terminate_backend(:pid::integer);

-- name: held
-- Mark the worker as alive in this session.
UPDATE workers
SET backend_pid = pg_backend_pid(), taken_by = NULL, taken_at = NULL, fenced_at = NULL, gone_at = NULL
WHERE worker_id = :worker_id;

-- name: leave
-- Delete a worker that has shut down; it has nothing in flight.
DELETE FROM workers WHERE worker_id = :worker_id;

-- name: unconnected
-- Other workers whose lock is free, with the server's uptime: after a restart all sessions need time to come back.
SELECT w.worker_id, extract(epoch FROM now() - pg_postmaster_start_time())::float8 AS server_seconds
FROM workers w
WHERE w.gone_at IS NULL AND w.worker_id <> :worker_id AND NOT worker_is_connected(w.number)
  AND (w.taken_by IS NULL OR w.taken_by = :worker_id OR w.taken_at < now() - interval '3 seconds'
       OR NOT EXISTS (SELECT FROM workers t WHERE t.worker_id = w.taken_by AND worker_is_connected(t.number)))
ORDER BY w.worker_id;

-- name: take
-- Claim the takeover of a dead worker, and fence it. No row: another survivor has claimed it, or the worker is back.
UPDATE workers w SET taken_by = :by, taken_at = now(), fenced_at = coalesce(w.fenced_at, now())
WHERE w.worker_id = :worker_id AND w.gone_at IS NULL AND NOT worker_is_connected(w.number)
  AND (w.taken_by IS NULL OR w.taken_by = :by OR w.taken_at < now() - interval '3 seconds'
       OR NOT EXISTS (SELECT FROM workers t WHERE t.worker_id = w.taken_by AND worker_is_connected(t.number)))
RETURNING w.worker_id;

-- name: gone
-- Mark the takeover as done. No row: the worker is back.
UPDATE workers SET gone_at = now() WHERE worker_id = :worker_id AND taken_by = :by AND fenced_at IS NOT NULL
RETURNING worker_id;

-- name: at_work
-- Open runs that wait for neither a person nor a timer. A dead worker may have had tasks of these in flight.
SELECT r.run_id FROM runs r
WHERE r.status = 'open'
  AND NOT EXISTS (SELECT FROM approvals a WHERE a.run_id = r.run_id AND a.state = 'open' AND a.about <> 'endorse')
  AND NOT EXISTS (SELECT FROM effects e WHERE e.run_id = r.run_id AND e.state = 'waiting' AND e.wait_until > now())
ORDER BY r.opened_at DESC;
