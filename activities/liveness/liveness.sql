-- Worker processes and their sessions.

-- name: register
-- A worker and its queues; one that was taken for dead lives again. Rows of workers that are long gone are dropped.
WITH old AS (
    DELETE FROM workers WHERE gone_at < now() - interval '7 days'
)
INSERT INTO workers (worker_id, queues) VALUES (:worker_id, :queues)
ON CONFLICT (worker_id) DO UPDATE SET queues = excluded.queues
RETURNING number, backend_pid,
          coalesce(gone_at IS NULL AND taken_at > now() - interval '3 seconds', false) AS is_being_taken_over;

-- name: hold
-- Take the worker's lock for this session. False: another session of it has the lock still.
SELECT pg_try_advisory_lock(worker_locks(), :number::integer) AS held;

-- name: replace
-- End the worker's own earlier session, which a broken network keeps open.
SELECT pg_terminate_backend(:pid::integer);

-- name: held
-- The worker lives, on this session.
UPDATE workers
SET backend_pid = pg_backend_pid(), taken_by = NULL, taken_at = NULL, fenced_at = NULL, gone_at = NULL
WHERE worker_id = :worker_id;

-- name: leave
-- The worker ended in order: nothing is in flight.
DELETE FROM workers WHERE worker_id = :worker_id;

-- name: unconnected
-- Other workers that hold no lock, and how long the server runs: after a restart every session has to come back first.
SELECT w.worker_id, extract(epoch FROM now() - pg_postmaster_start_time())::float8 AS server_seconds
FROM workers w
WHERE w.gone_at IS NULL AND w.worker_id <> :worker_id AND NOT worker_is_connected(w.number)
  AND (w.taken_by IS NULL OR w.taken_by = :worker_id OR w.taken_at < now() - interval '3 seconds'
       OR NOT EXISTS (SELECT FROM workers t WHERE t.worker_id = w.taken_by AND worker_is_connected(t.number)))
ORDER BY w.worker_id;

-- name: take
-- Take the right to look after a dead worker, and fence it. No row: another survivor has the right, or the worker is back.
UPDATE workers w SET taken_by = :by, taken_at = now(), fenced_at = coalesce(w.fenced_at, now())
WHERE w.worker_id = :worker_id AND w.gone_at IS NULL AND NOT worker_is_connected(w.number)
  AND (w.taken_by IS NULL OR w.taken_by = :by OR w.taken_at < now() - interval '3 seconds'
       OR NOT EXISTS (SELECT FROM workers t WHERE t.worker_id = w.taken_by AND worker_is_connected(t.number)))
RETURNING w.worker_id;

-- name: gone
-- It is looked after. No row: it is back.
UPDATE workers SET gone_at = now() WHERE worker_id = :worker_id AND taken_by = :by AND fenced_at IS NOT NULL
RETURNING worker_id;

-- name: at_work
-- Open runs that wait for no person and no timer: of these a dead worker may have had something in flight.
SELECT r.run_id FROM runs r
WHERE r.status = 'open'
  AND NOT EXISTS (SELECT FROM approvals a WHERE a.run_id = r.run_id AND a.state = 'open' AND a.about <> 'endorse')
  AND NOT EXISTS (SELECT FROM effects e WHERE e.run_id = r.run_id AND e.state = 'waiting' AND e.wait_until > now())
ORDER BY r.opened_at DESC;
