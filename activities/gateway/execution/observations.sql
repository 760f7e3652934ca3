-- A sample is stored under the field's own name, which makes it part of the history that later ones are compared with,
-- or under that name with a suffix (`:apart`), which keeps it apart from the history; what a result says of all its items
-- has a suffix of its own. No field has such a suffix itself.

-- name: known
-- What is known of some fields of a tool, newest first: `history` (never what was kept apart), `run` (the run's own last
-- samples, of both kinds) and `tool` (everyone's last samples, of both kinds). What this very call stored is left out.
WITH watched AS (
    SELECT f.field, s.stored
    FROM unnest(:fields::text[]) AS f (field), LATERAL (VALUES (f.field), (f.field || :apart)) AS s (stored)
), history AS (
    SELECT w.field, o.value, o.at
    FROM watched w CROSS JOIN LATERAL (
        SELECT value, at FROM observations
        WHERE tenant = :tenant AND tool = :tool AND field = w.stored AND (run_id <> :run_id OR call_id <> :call_id)
        ORDER BY at DESC LIMIT :most
    ) o
    WHERE w.stored = w.field
), run AS (
    SELECT w.field, o.value, o.at
    FROM watched w CROSS JOIN LATERAL (
        SELECT value, at FROM (
            SELECT value, at FROM observations
            WHERE tenant = :tenant AND tool = :tool AND field = w.stored AND run_id = :run_id AND call_id <> :call_id
            OFFSET 0 -- planned by itself, by primary key; else the limit tempts Postgres to walk through everyone's
        ) own
        ORDER BY at DESC LIMIT :lately
    ) o
), tool AS (
    SELECT w.field, o.value, o.at
    FROM watched w CROSS JOIN LATERAL (
        SELECT value, at FROM observations
        WHERE tenant = :tenant AND tool = :tool AND field = w.stored AND (run_id <> :run_id OR call_id <> :call_id)
        ORDER BY at DESC LIMIT :lately
    ) o
)
SELECT field, 'history' AS source, value, at FROM history
UNION ALL SELECT field, 'run', value, at FROM run
UNION ALL SELECT field, 'tool', value, at FROM tool
ORDER BY at DESC;

-- name: answers
-- What results of a tool said of all their items lately, and what was asked for it, newest first: by this run (`run`) and
-- by anyone (`tool`). What this very call stored is left out.
WITH run AS (
    SELECT o.field, o.run_id, o.call_id, o.value, o.at
    FROM unnest(:fields::text[]) AS f (field) CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT * FROM observations
            WHERE tenant = :tenant AND tool = :tool AND field = f.field AND run_id = :run_id AND call_id <> :call_id
            OFFSET 0 -- as above
        ) own
        ORDER BY at DESC LIMIT :most
    ) o
), tool AS (
    SELECT o.field, o.run_id, o.call_id, o.value, o.at
    FROM unnest(:fields::text[]) AS f (field) CROSS JOIN LATERAL (
        SELECT * FROM observations
        WHERE tenant = :tenant AND tool = :tool AND field = f.field AND (run_id <> :run_id OR call_id <> :call_id)
        ORDER BY at DESC LIMIT :most
    ) o
), answers AS (
    SELECT 'run' AS source, * FROM run UNION ALL SELECT 'tool', * FROM tool
)
SELECT a.field, a.source, a.value, coalesce(c.digest, '') AS digest
FROM answers a LEFT JOIN calls c USING (run_id, call_id)
ORDER BY a.at DESC;

-- name: observe
-- The samples of one call. A call that is weighed again keeps those of its first time.
INSERT INTO observations (tenant, tool, field, run_id, call_id, value)
SELECT :tenant, :tool, o.field, :run_id, :call_id, o.value
FROM unnest(:fields::text[], :samples::double precision[]) AS o (field, value)
ON CONFLICT DO NOTHING;
