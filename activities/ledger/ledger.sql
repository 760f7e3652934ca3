-- The ledger's own statements. The statements of calls, steps and runs call the same functions.

-- name: reserve
-- Reserve from all these windows or from none. Returns the amounts of the hold, by unit, if it existed already.
SELECT ledger_reserve(:hold, :run_id, :wanted::jsonb, :seconds::float8) AS held;

-- name: settle
-- Settle a hold with what was used. False if it was settled before, or never made.
SELECT ledger_settle(:hold, :used::jsonb) AS settled;

-- name: release
-- End a hold of which nothing was used, and nothing will be. False if it was ended before, or never made.
SELECT ledger_release(:hold) AS released;

-- name: overdue
-- Holds to resolve: those past their time; those still reserved although their run closed within two days; and the lost
-- holds of delegating calls whose run is closed and whose sub-agent has ended since.
SELECT d.hold_id, coalesce(r.status <> 'open', true) AS run_is_over
FROM (
    SELECT h.hold_id, h.run_id FROM holds h WHERE h.state = 'reserved' AND h.expires_at < now()
    UNION
    SELECT h.hold_id, h.run_id FROM runs o JOIN holds h USING (run_id)
    WHERE o.closed_at > now() - interval '2 days' AND h.state = 'reserved'
    UNION
    SELECT h.hold_id, h.run_id FROM holds h JOIN runs o USING (run_id)
    WHERE h.state = 'lost' AND o.status <> 'open'
      AND EXISTS (SELECT FROM delegations g
                  WHERE h.hold_id = g.parent_run_id || '/' || g.call_id
                    AND g.parent_run_id = h.run_id AND delegation_spent(g.child_run_id) IS NOT NULL)
) d LEFT JOIN runs r USING (run_id)
WHERE d.hold_id > :after
ORDER BY d.hold_id LIMIT 500;

-- name: resolve
-- End an overdue hold, or mark it lost; returns its new state.
SELECT ledger_resolve(:hold, :run_is_over) AS state;

-- name: caps_of
-- The caps that the operator and a tenant set.
SELECT tenant, scope, key, unit, class, period, cap, by, at FROM caps
WHERE tenant IN ('*', coalesce(:tenant, tenant)) ORDER BY tenant, scope, key, unit, class, period;

-- name: set_cap
-- Set a cap; an earlier value is replaced.
INSERT INTO caps (tenant, scope, key, unit, class, period, cap, by)
VALUES (:tenant, :scope, :key, :unit, :class, :period, :cap, :by)
ON CONFLICT (tenant, scope, key, unit, class, period) DO UPDATE
    SET cap = excluded.cap, by = excluded.by, at = now();

-- name: unset_cap
-- Remove a cap; the other caps stay in force.
DELETE FROM caps WHERE tenant = :tenant AND scope = :scope AND key = :key AND unit = :unit AND class = :class
    AND period = :period RETURNING tenant;
