-- name: models
-- The cost of model calls since the start of a period, by run, agent, tenant or model; with the amount reserved for
-- calls under way and the cost of the last hour. `left` is what the tightest money cap of the run, agent or tenant
-- leaves.
SELECT g.name,
       coalesce(sum(u.spent), 0)::bigint AS spent, coalesce(sum(w.reserved), 0)::bigint AS reserved,
       CASE WHEN :by = 'run' THEN max((r.budget ->> 'usd_micros')::bigint - coalesce(w.used, 0) - coalesce(w.reserved, 0))
            ELSE (SELECT min(x.cap - x.settled - x.overrun - x.reserved) FROM windows x
                  WHERE x.scope = :by AND x.unit = 'micro-usd' AND x.starts_at = ledger_start(x.period, now())
                    AND ((:by = 'agent' AND x.key = g.name) OR (:by = 'tenant' AND x.tenant = g.name))) END AS "left",
       coalesce(sum(u.last_hour), 0)::bigint AS per_hour, coalesce(sum(u.tokens), 0)::bigint AS tokens,
       coalesce(sum(u.steps), 0)::bigint AS steps, count(*) AS runs, count(*) FILTER (WHERE r.status = 'open') AS open
FROM runs r
JOIN agents v ON v.version = r.agent_version
CROSS JOIN LATERAL (
    SELECT CASE :by WHEN 'run' THEN r.run_id WHEN 'agent' THEN r.agent WHEN 'tenant' THEN r.tenant
                    ELSE v.definition ->> 'model' END AS name) g
CROSS JOIN LATERAL (SELECT CASE :per WHEN 'total' THEN '-infinity' ELSE ledger_start(:per, now()) END AS start) p
CROSS JOIN LATERAL (
    SELECT sum(c.usd_micros) FILTER (WHERE c.at >= p.start) AS spent,
           sum(c.tokens) FILTER (WHERE c.at >= p.start) AS tokens,
           count(*) FILTER (WHERE c.at >= p.start) AS steps,
           sum(c.usd_micros) FILTER (WHERE c.at >= now() - interval '1 hour') AS last_hour
    FROM (SELECT s.at, s.usd_micros, (s.plan ->> 'tokens')::bigint AS tokens FROM steps s WHERE s.run_id = r.run_id
          UNION ALL
          SELECT e.at, e.usd_micros, e.tokens FROM approvals a JOIN reviews e USING (approval_id)
          WHERE a.run_id = r.run_id) c) u
LEFT JOIN LATERAL (
    SELECT x.settled + x.overrun AS used, x.reserved FROM windows x
    WHERE x.tenant = r.tenant AND x.scope = 'run' AND x.key = r.run_id AND x.unit = 'micro-usd') w ON true
WHERE (r.status = 'open' OR r.closed_at >= p.start) AND (:name::text IS NULL OR g.name = :name)
GROUP BY g.name ORDER BY spent DESC, g.name LIMIT 200;

-- name: tools
-- The number of calls since the start of a period, by tool: settled, under way, with unknown outcome, refused, and
-- settled in the last hour; with the money that they moved or hold, by currency.
SELECT e.tool AS name, count(*) FILTER (WHERE e.state = 'settled') AS calls,
       count(*) FILTER (WHERE e.state IN ('claimed', 'waiting')) AS under_way,
       count(*) FILTER (WHERE e.state = 'unknown') AS unknown,
       count(*) FILTER (WHERE e.state = 'refused') AS refused,
       count(*) FILTER (WHERE e.state = 'settled' AND e.settled_at >= now() - interval '1 hour') AS per_hour,
       coalesce((SELECT json_object_agg(m.currency, m.amount) FROM (
           SELECT split_part(x.unit, ':', 2) AS currency,
                  sum(CASE WHEN h.state IN ('reserved', 'lost') THEN x.reserved ELSE x.settled END) AS amount
           FROM effects f JOIN holds h ON h.hold_id = f.run_id || '/' || f.call_id
           CROSS JOIN LATERAL (SELECT DISTINCT ON (unit) unit, reserved, settled
                               FROM unnest(h.units, h.reserved, h.settled) AS y (unit, reserved, settled)) x
           WHERE f.tool = e.tool AND x.unit LIKE 'minor:%' AND f.claimed_at >= max(p.start) GROUP BY 1) m), '{}'::json)::text
           AS money
FROM effects e
CROSS JOIN LATERAL (SELECT CASE :per WHEN 'total' THEN '-infinity' ELSE ledger_start(:per, now()) END AS start) p
WHERE e.claimed_at >= p.start AND (:name::text IS NULL OR e.tool = :name)
GROUP BY e.tool ORDER BY calls DESC, e.tool LIMIT 200;

-- name: windows
-- The current windows of one run, agent, tenant or tool.
SELECT w.tenant, w.scope, w.key, w.unit, w.class, w.period, w.cap, w.settled + w.overrun AS spent, w.reserved,
       greatest(w.cap - w.settled - w.overrun - w.reserved, 0) AS "left"
FROM windows w
WHERE w.starts_at = ledger_start(w.period, now())
  AND CASE :by WHEN 'tool' THEN w.class = 'tool:' || :name::text
               WHEN 'tenant' THEN w.scope = 'tenant' AND w.tenant = :name::text
               ELSE w.scope = :by AND w.key = :name::text END
ORDER BY w.scope, w.unit, w.class, w.period, w.key LIMIT 200;
