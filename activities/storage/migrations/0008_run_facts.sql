-- The facts of a run that its calls are judged by, and one digest over them: a claim is refused once it is another.

CREATE VIEW run_facts AS
SELECT r.run_id, r.status, r.agent, r.agent_version, r.tenant, r.requester, r.mode, r.policy_version AS frozen_policy,
       r.tainted_by, r.private_by, r.lineage, r.agents_above,
       f.versions_above, f.heads, f.endorsed, f.budget, f.caps,
       encode(sha256(convert_to(ROW(
           r.agent,
           r.agent_version,
           r.tenant,
           r.requester,
           r.mode,
           r.policy_version,
           r.tainted_by,
           r.private_by,
           r.lineage,
           r.agents_above,
           f.versions_above,
           f.heads,
           f.endorsed,
           f.budget,
           f.caps
       )::text, 'UTF8')), 'hex') AS run_digest
FROM runs r CROSS JOIN LATERAL (
    SELECT CASE WHEN cardinality(r.lineage) = 0 THEN '{}'::text[] ELSE
               ARRAY(SELECT u.agent_version FROM unnest(r.lineage) WITH ORDINALITY l (run_id, n) JOIN runs u USING (run_id)
                     ORDER BY l.n) END AS versions_above,
           ARRAY(SELECT h.version FROM policy_heads h WHERE h.scope IN ('*', r.tenant) ORDER BY h.scope) AS heads,
           ARRAY(SELECT n.value FROM endorsements n WHERE n.run_id = r.run_id ORDER BY n.at, n.value) AS endorsed,
           r.budget::text AS budget,
           (SELECT json_agg(k ORDER BY k.tenant, k.scope, k.key, k.unit, k.class, k.period)
            FROM caps k WHERE k.tenant IN ('*', r.tenant))::text AS caps
    OFFSET 0 -- so that each of these is read once, though the digest names it again
) f;
