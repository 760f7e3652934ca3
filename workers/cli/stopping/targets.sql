-- Look up the targets of halts and resumes.

-- name: run
-- The run of this id, open or closed.
SELECT run_id AS name FROM runs WHERE run_id = :name;

-- name: agents
-- The agents that can be started now.
SELECT name FROM agent_heads ORDER BY name;

-- name: tools
-- The tools of the agent versions that new or open runs use.
SELECT DISTINCT t ->> 'name' AS name
FROM agents a, json_array_elements(a.tools::json) t
WHERE a.version IN (SELECT h.version FROM agent_heads h UNION SELECT r.agent_version FROM runs r WHERE r.status = 'open')
ORDER BY name;

-- name: tenants
-- The tenants of all registered people and of all runs.
SELECT tenant AS name FROM principals UNION SELECT tenant FROM runs ORDER BY name;

-- name: outcome
-- The outcome of a run that has ended.
SELECT outcome::text AS outcome FROM runs WHERE run_id = :run_id AND status <> 'open';

-- name: halts_on
-- The halts in force on a run.
SELECT h.halt_id, h.scope, h.target FROM runs r, halts_on(r.run_id, r.agent, NULL, r.tenant) h WHERE r.run_id = :run_id;
