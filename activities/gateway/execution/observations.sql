-- Samples of numbers in tool results. A sample is stored under the path of its field and is then part of the history
-- that later samples are compared with. With the suffix `:apart` it is stored but not part of the history. A sample of
-- the value that all items of a result share has the suffix `!each`. No path contains such a suffix.

-- name: known
-- Earlier samples of some fields of a tool, newest first. Source `history`: without those kept apart; `run`: the last
-- ones of this run, of both kinds; `tool`: the last ones of all runs, of both kinds. Samples of this call are left out.
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
            OFFSET 0 -- an optimizer fence: without it the LIMIT makes Postgres scan the samples of all runs
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
-- The last values that all items of a result shared, with the digest of the call that returned them, newest first; of
-- this run (`run`) and of all runs (`tool`). Samples of this call are left out.
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
-- Store the samples of one call. If the call is checked again, the samples of the first time are kept.
INSERT INTO observations (tenant, tool, field, run_id, call_id, value)
SELECT :tenant, :tool, o.field, :run_id, :call_id, o.value
FROM unnest(:fields::text[], :samples::double precision[]) AS o (field, value)
ON CONFLICT DO NOTHING;
