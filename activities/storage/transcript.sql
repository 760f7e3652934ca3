-- name: read_from
-- The transcript rows of a run from from_seq to upto_seq - 1.
SELECT t.seq, t.kind, t.origin, t.call_id, coalesce(t.content::text, b.text) AS content, t.suspect
FROM transcript t LEFT JOIN blobs b ON b.digest = t.blob
WHERE t.run_id = :run_id AND t.seq >= :from_seq::int AND t.seq < :upto_seq::int
ORDER BY t.seq;

-- name: append
-- Append one row: a goal, or a person's message. A repetition changes nothing, and returns no row.
WITH blob AS (
    INSERT INTO blobs (digest, text)
    SELECT :blob::bytea, :blob_text::text WHERE :blob::bytea IS NOT NULL
    ON CONFLICT DO NOTHING
)
INSERT INTO transcript (run_id, seq, kind, origin, content, blob)
VALUES (:run_id, :seq, :kind, :origin, :content, :blob)
ON CONFLICT (run_id, seq) DO NOTHING
RETURNING seq;
