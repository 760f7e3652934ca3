-- Outages of model vendors: a circuit breaker that all workers share.

-- name: failed
-- Note a failed call. The outage opens (nobody asks before `retry_at`) once it failed often enough, or at once if the
-- vendor asked for a longer pause or a person has to correct something. A failure that arrives while it is open already
-- belongs to the same outage and does not lengthen the interval.
INSERT INTO vendor_outages AS o (scope, vendor, model, error, reason, needs_person, openings, retry_at)
VALUES (:scope, :vendor, :model, :error, :reason, :needs_person::boolean,
        CASE WHEN :open_now::boolean OR :threshold::int <= 1 THEN 1 ELSE 0 END,
        CASE WHEN :open_now::boolean OR :threshold::int <= 1
             THEN now() + make_interval(secs => greatest(:first_seconds::float8, :retry_after::float8)) END)
ON CONFLICT (scope) DO UPDATE SET
    failures = o.failures + 1,
    error = excluded.error,
    reason = excluded.reason,
    needs_person = excluded.needs_person,
    openings = CASE WHEN o.retry_at > now() THEN o.openings
                    WHEN :open_now::boolean OR o.openings > 0 OR o.failures + 1 >= :threshold::int THEN o.openings + 1
                    ELSE o.openings END,
    retry_at = CASE WHEN o.retry_at > now() THEN o.retry_at
                    WHEN :open_now::boolean OR o.openings > 0 OR o.failures + 1 >= :threshold::int
                    THEN now() + make_interval(secs => greatest(:retry_after::float8, least(:longest_seconds::float8,
                                                   :first_seconds::float8 * 2 ^ least(o.openings, 30))))
                    ELSE o.retry_at END,
    probing_until = NULL
RETURNING extract(epoch FROM retry_at - now())::float8 AS retry_in, openings, since;

-- name: probe
-- Take the right to try whether a vendor is back. No row: another call is trying.
UPDATE vendor_outages SET probing_until = now() + make_interval(secs => :seconds::float8)
WHERE scope = :scope AND (probing_until IS NULL OR probing_until < now())
RETURNING scope;

-- name: waits
-- Note that a run waits, write it into its trace log, and tell people of an outage once.
WITH waiting AS (
    INSERT INTO vendor_waits AS w (run_id, scope, vendor, error, reason, needs_person, retry_at)
    VALUES (:run_id, :scope, :vendor, :error, :reason, :needs_person::boolean, :until::timestamptz)
    ON CONFLICT (run_id) DO UPDATE SET scope = excluded.scope, vendor = excluded.vendor, error = excluded.error,
        reason = excluded.reason, needs_person = excluded.needs_person, retry_at = excluded.retry_at
), alarm AS (
    INSERT INTO alarms (alarm_id, run_id, kind, body)
    SELECT 'vendor:' || o.scope || '/' || extract(epoch FROM o.since), :run_id, e.kind, e.body::json
    FROM vendor_outages o, unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
    WHERE o.scope = :scope
    ON CONFLICT DO NOTHING
    RETURNING alarm_id
), logged AS (
    INSERT INTO events (run_id, kind, step, trace_id, body)
    SELECT :run_id, e.kind, :step::int, :trace_id::text, e.body::json
    FROM unnest(:kinds::text[], :bodies::text[]) AS e (kind, body)
)
SELECT pg_notify('stanchion_approvals', alarm_id)::text AS told FROM alarm;

-- name: back
-- A vendor has answered a run.
WITH answered AS (DELETE FROM vendor_waits WHERE run_id = :run_id)
DELETE FROM vendor_outages WHERE scope = ANY (:scopes::text[]);

-- name: forget
-- A person says that a vendor is to be asked again now.
DELETE FROM vendor_outages WHERE vendor = :vendor;

-- name: waiting_runs
-- The open runs that wait for a vendor, longest first.
SELECT w.run_id FROM vendor_waits w JOIN runs r USING (run_id)
WHERE w.vendor = :vendor AND r.status = 'open' ORDER BY w.since, w.run_id;

-- name: outages
-- The outages there are, each with how many open runs wait.
SELECT o.vendor, o.model, o.error, o.reason, o.needs_person, o.since, o.retry_at,
       (SELECT count(*) FROM vendor_waits w JOIN runs r USING (run_id)
        WHERE w.scope = o.scope AND r.status = 'open') AS runs
FROM vendor_outages o WHERE o.retry_at IS NOT NULL ORDER BY o.since, o.scope;
