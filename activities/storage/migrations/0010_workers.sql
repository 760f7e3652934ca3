-- Worker processes: which there are, and which are gone. A worker that lives holds the advisory lock of its number on a
-- session of its own, so Postgres knows of its death as soon as the operating system closes its connection.

CREATE TABLE workers (
    worker_id   text PRIMARY KEY,            -- also its identity in Temporal, and in effects.worker
    number      integer NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,  -- of the advisory lock (class worker_locks())
    started_at  timestamptz NOT NULL DEFAULT now(),
    queues      text[] NOT NULL,             -- Temporal task queues that it polls
    backend_pid integer,                     -- of the session that holds the lock, or held it last
    taken_by    text,                        -- the worker that looks after what this one had in flight
    taken_at    timestamptz,
    fenced_at   timestamptz,                 -- from then on it claims no effect, should it live after all
    gone_at     timestamptz                  -- when it was looked after; NULL while it is believed to live
);
CREATE INDEX workers_alive ON workers (worker_id) WHERE gone_at IS NULL;

CREATE FUNCTION worker_locks() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 730541228';

-- Whether a worker holds its lock now.
CREATE FUNCTION worker_is_connected(of_number integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pg_locks l
                   WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                     AND l.classid::bigint = worker_locks() AND l.objid::bigint = of_number
                     AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
$$;
