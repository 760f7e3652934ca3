-- What halts and resumes are aimed at.

-- name: run
-- A run, if it was ever opened.
SELECT run_id AS name FROM runs WHERE run_id = :name;

-- name: agents
-- The agents that new runs may have.
SELECT name FROM agent_heads ORDER BY name;

-- name: tools
-- The tools of every version that a new run or an open one has.
SELECT DISTINCT t ->> 'name' AS name
FROM agents a, json_array_elements(a.tools::json) t
WHERE a.version IN (SELECT h.version FROM agent_heads h UNION SELECT r.agent_version FROM runs r WHERE r.status = 'open')
ORDER BY name;

-- name: tenants
-- Tenants that somebody is registered for, or that something ran for.
SELECT tenant AS name FROM principals UNION SELECT tenant FROM runs ORDER BY name;

-- name: outcome
-- How a run ended, if it did.
SELECT outcome::text AS outcome FROM runs WHERE run_id = :run_id AND status <> 'open';

-- name: halts_on
-- The halts that keep a run from going on.
SELECT h.halt_id, h.scope, h.target FROM runs r, halts_on(r.run_id, r.agent, NULL, r.tenant) h WHERE r.run_id = :run_id;
