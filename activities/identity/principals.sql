-- name: put_principal
-- Register a person, or change a registration. A null parameter leaves its column unchanged. A person who was revoked
-- is registered again without their old roles.
INSERT INTO principals (tenant, name, roles, slack_user, added_by)
VALUES (:tenant, :name, coalesce(:roles::text[], '{}'), :slack_user, :by)
ON CONFLICT (tenant, name) DO UPDATE
SET roles = CASE WHEN :roles::text[] IS NULL AND principals.revoked_at IS NULL THEN principals.roles
                 ELSE excluded.roles END,
    slack_user = coalesce(excluded.slack_user, principals.slack_user),
    added_by = excluded.added_by, added_at = now(), revoked_at = NULL
RETURNING tenant, name, roles, slack_user, added_by, added_at, revoked_at;

-- name: revoke_principal
-- Revoke a person and their keys. Their Slack user can then be given to someone else. The person is removed from
-- approved_by of every call that has not begun; if such a call was approved already, its approval is withdrawn.
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
-- All registrations, revoked ones too: those of a tenant and of every tenant ('*'), or all there are.
SELECT tenant, name, roles, slack_user, added_by, added_at, revoked_at FROM principals
WHERE :tenant::text IS NULL OR tenant IN (:tenant, '*')
ORDER BY tenant, name;

-- name: rows_of
-- All registrations of one name, in all tenants.
SELECT tenant, name, roles, slack_user, added_by, added_at, revoked_at FROM principals WHERE name = :name;

-- name: of_slack
-- The person to whom a Slack user belongs. A registration in the tenant goes before one in every tenant ('*').
SELECT name FROM principals WHERE slack_user = :slack_user AND tenant IN (:tenant, '*')
ORDER BY tenant = '*' LIMIT 1;

-- name: put_key
-- Store a public key. A key that exists is returned unchanged.
INSERT INTO keys (key, public_key, kind, tenant, principal, added_by)
VALUES (:key, :public_key, :kind, :tenant, :principal, :by)
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING key, public_key, kind, tenant, principal, added_by, added_at, revoked_at;

-- name: revoke_key
-- Revoke a key; the time of the first revocation is kept. Approvals that were signed with it, of calls that have not
-- begun, are struck as in revoke_principal.
WITH revoked AS (
    UPDATE keys SET revoked_at = coalesce(revoked_at, now()) WHERE key = :key
    RETURNING key, public_key, kind, tenant, principal, added_by, added_at, revoked_at
), given AS ( -- by call, not by approval: the decision "edit" belongs to the approval before
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
-- All keys, revoked ones too: those of a tenant and of every tenant ('*'), or all there are.
SELECT key, public_key, kind, tenant, principal, added_by, added_at, revoked_at FROM keys
WHERE :tenant::text IS NULL OR tenant IN (:tenant, '*')
ORDER BY tenant, principal NULLS FIRST, added_at;

-- name: evidence
-- A key, all registrations of a name, and the time, in one snapshot.
SELECT now() AS now,
       (SELECT json_build_object('public', encode(k.public_key, 'hex'), 'kind', k.kind, 'tenant', k.tenant,
                                 'principal', k.principal, 'revoked', k.revoked_at IS NOT NULL)
        FROM keys k WHERE k.key = :key)::text AS key,
       (SELECT coalesce(json_agg(json_build_object('tenant', p.tenant, 'name', p.name, 'roles', p.roles,
                                                   'slack_user', p.slack_user, 'revoked', p.revoked_at IS NOT NULL)), '[]')
        FROM principals p WHERE p.name = :name)::text AS principals;
