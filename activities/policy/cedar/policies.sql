-- Policies: every version that was ever set, and the one in force for each scope.

-- name: put
-- Store a version if it is new, and put it in force.
WITH stored AS (
    INSERT INTO policies (version, scope, text, money_floor, by)
    VALUES (:version, :scope, :text, :money_floor, :by)
    ON CONFLICT (version) DO UPDATE SET version = excluded.version
    RETURNING version, scope
)
INSERT INTO policy_heads (scope, version, by)
SELECT scope, version, :by FROM stored
ON CONFLICT (scope) DO UPDATE SET version = excluded.version, by = excluded.by, updated_at = now()
RETURNING version;

-- name: put_first
-- Store a version and put it in force, but only if no policy is in force for the scope; otherwise returns no row.
WITH stored AS (
    INSERT INTO policies (version, scope, text, money_floor, by)
    SELECT :version::text, :scope::text, :text::text, :money_floor::bigint, :by::text
    WHERE NOT EXISTS (SELECT FROM policy_heads WHERE scope = :scope)
    ON CONFLICT (version) DO UPDATE SET version = excluded.version
    RETURNING version, scope
)
INSERT INTO policy_heads (scope, version, by)
SELECT scope, version, :by FROM stored
ON CONFLICT (scope) DO NOTHING
RETURNING version;

-- name: put_back
-- Put an earlier version in force again.
UPDATE policy_heads h SET version = p.version, by = :by, updated_at = now()
FROM policies p
WHERE p.version = :version AND h.scope = p.scope
RETURNING h.version;

-- name: heads
-- The versions in force for a tenant: the platform's, then the tenant's; each only if there is one.
SELECT h.scope, h.version, p.money_floor
FROM policy_heads h JOIN policies p USING (version)
WHERE h.scope IN ('*', :tenant)
ORDER BY h.scope <> '*', h.scope;

-- name: text
-- One version with its text.
SELECT version, scope, text, money_floor, by, at FROM policies WHERE version = :version;

-- name: find
-- The versions that begin with a prefix.
SELECT version, scope, text, money_floor, by, at FROM policies
WHERE starts_with(version, :prefix)
ORDER BY version;

-- name: all_in_force
-- The versions in force with their texts.
SELECT p.version, p.scope, p.text, p.money_floor, p.by, p.at
FROM policy_heads h JOIN policies p USING (version)
ORDER BY p.scope;

-- name: all
-- Every version; for each scope the one in force first.
SELECT p.scope, p.version, p.money_floor, p.by, p.at, h.version IS NOT NULL AS in_force
FROM policies p LEFT JOIN policy_heads h USING (scope, version)
ORDER BY p.scope, in_force DESC, p.at DESC;
