-- name: put_principal
-- Register a person, or change one. What is null stays as it was; one who was revoked comes back with nothing of before.
INSERT INTO principals (tenant, name, roles, slack_user, added_by)
VALUES (:tenant, :name, coalesce(:roles::text[], '{}'), :slack_user, :by)
ON CONFLICT (tenant, name) DO UPDATE
SET roles = CASE WHEN :roles::text[] IS NULL AND principals.revoked_at IS NULL THEN principals.roles
                 ELSE excluded.roles END,
    slack_user = coalesce(excluded.slack_user, principals.slack_user),
    added_by = excluded.added_by, added_at = now(), revoked_at = NULL
RETURNING tenant, name, roles, slack_user, added_by, added_at, revoked_at;

-- name: revoke_principal
-- Revoke a person and, with them, their keys. The Slack user is free for someone else from then on. Their yes to what is
-- not done yet is struck; what was approved with it and not begun is not approved any more.
WITH revoked AS (
    UPDATE principals SET revoked_at = coalesce(revoked_at, now()), slack_user = NULL
    WHERE tenant = :tenant AND name = :name
    RETURNING tenant, name, roles, slack_user, added_by, added_at, revoked_at
), their_keys AS (
    UPDATE keys SET revoked_at = now()
    FROM revoked
    WHERE keys.principal = revoked.name AND keys.revoked_at IS NULL AND revoked.tenant IN (keys.tenant, '*')
), struck AS (
    UPDATE approvals a SET approved_by = array_remove(a.approved_by, revoked.name),
        state = CASE WHEN a.state = 'open' THEN 'open' ELSE 'withdrawn' END
    FROM revoked, runs r
    WHERE r.run_id = a.run_id AND r.status = 'open' AND revoked.tenant IN (r.tenant, '*')
      AND revoked.name = ANY (a.approved_by) AND a.about = 'call' AND a.state IN ('open', 'approve', 'edit')
      AND NOT EXISTS (SELECT FROM effects e WHERE e.run_id = a.run_id AND e.call_id = a.call_id)
)
SELECT * FROM revoked;

-- name: principals
-- Who is, or was, registered: for a tenant with those of every tenant, or all there are.
SELECT tenant, name, roles, slack_user, added_by, added_at, revoked_at FROM principals
WHERE :tenant::text IS NULL OR tenant IN (:tenant, '*')
ORDER BY tenant, name;

-- name: rows_of
-- Every row of one name, whatever its tenant.
SELECT tenant, name, roles, slack_user, added_by, added_at, revoked_at FROM principals WHERE name = :name;

-- name: of_slack
-- Whose a Slack user is: the tenant's own word goes before that of every tenant.
SELECT name FROM principals WHERE slack_user = :slack_user AND tenant IN (:tenant, '*')
ORDER BY tenant = '*' LIMIT 1;

-- name: put_key
-- Store a public key; one that is there already stays as it is.
INSERT INTO keys (key, public_key, kind, tenant, principal, added_by)
VALUES (:key, :public_key, :kind, :tenant, :principal, :by)
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING key, public_key, kind, tenant, principal, added_by, added_at, revoked_at;

-- name: revoke_key
-- Revoke a key; the first time counts. Each yes given with it to what is not done yet is struck, as with a person.
WITH revoked AS (
    UPDATE keys SET revoked_at = coalesce(revoked_at, now()) WHERE key = :key
    RETURNING key, public_key, kind, tenant, principal, added_by, added_at, revoked_at
), given AS ( -- by call: the yes of who edited is a decision about the approval before
    SELECT q.run_id, q.call_id, array_agg(d.by) AS names
    FROM decisions d JOIN approvals q USING (approval_id)
    WHERE d.key IN (SELECT key FROM revoked) AND d.verdict IN ('approve', 'edit')
    GROUP BY q.run_id, q.call_id
), struck AS (
    UPDATE approvals a SET approved_by = ARRAY(SELECT n FROM unnest(a.approved_by) n WHERE n <> ALL (given.names)),
        state = CASE WHEN a.state = 'open' THEN 'open' ELSE 'withdrawn' END
    FROM given, runs r
    WHERE a.run_id = given.run_id AND a.call_id = given.call_id AND r.run_id = a.run_id AND r.status = 'open'
      AND a.approved_by && given.names AND a.about = 'call' AND a.state IN ('open', 'approve', 'edit')
      AND NOT EXISTS (SELECT FROM effects e WHERE e.run_id = a.run_id AND e.call_id = a.call_id)
)
SELECT * FROM revoked;

-- name: keys
-- Keys, revoked ones too: of a tenant with those of every tenant, or all there are.
SELECT key, public_key, kind, tenant, principal, added_by, added_at, revoked_at FROM keys
WHERE :tenant::text IS NULL OR tenant IN (:tenant, '*')
ORDER BY tenant, principal NULLS FIRST, added_at;

-- name: evidence
-- All that is known about a key and about a name, and the time, as of one instant.
SELECT now() AS now,
       (SELECT json_build_object('public', encode(k.public_key, 'hex'), 'kind', k.kind, 'tenant', k.tenant,
                                 'principal', k.principal, 'revoked', k.revoked_at IS NOT NULL)
        FROM keys k WHERE k.key = :key)::text AS key,
       (SELECT coalesce(json_agg(json_build_object('tenant', p.tenant, 'name', p.name, 'roles', p.roles,
                                                   'slack_user', p.slack_user, 'revoked', p.revoked_at IS NOT NULL)), '[]')
        FROM principals p WHERE p.name = :name)::text AS principals;
