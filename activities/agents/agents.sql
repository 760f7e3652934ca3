-- name: publish
-- Store a version if it is new, and make it the version that new runs get.
WITH version AS (
    INSERT INTO agents (version, name, definition, tools, source)
    VALUES (:version, :name, :definition, :tools, :source)
    ON CONFLICT (version) DO UPDATE SET source = excluded.source
    RETURNING version, name
)
INSERT INTO agent_heads (name, version)
SELECT name, version FROM version
ON CONFLICT (name) DO UPDATE SET version = excluded.version, updated_at = now()
RETURNING version;

-- name: head
-- The version that new runs of an agent get.
SELECT version FROM agent_heads WHERE name = :name;

-- name: version
-- One version.
SELECT version, name, definition, tools, source FROM agents WHERE version = :version;

-- name: all
-- The current version of every agent.
SELECT a.version, a.name, a.definition, a.tools, h.updated_at
FROM agent_heads h JOIN agents a USING (version)
ORDER BY a.name;
