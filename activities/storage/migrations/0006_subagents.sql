-- Sub-agents: what a run delegated to whom, with which part of its budget; and halts that cover whole lines of runs.

ALTER TABLE runs
    ADD COLUMN parent_run_id text,                         -- the run that delegated it, if one did
    ADD COLUMN lineage       text[] NOT NULL DEFAULT '{}', -- the runs above it, the first one first
    ADD COLUMN agents_above  text[] NOT NULL DEFAULT '{}', -- their agents, in the same order
    ADD COLUMN private_by    text,                         -- where it got private data from, other than by its own tools
    ADD CHECK ((parent_run_id IS NOT NULL) = (cardinality(lineage) > 0)),
    ADD CHECK (cardinality(lineage) = cardinality(agents_above));
CREATE INDEX runs_below ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_open_below ON runs (run_id) WHERE status = 'open' AND parent_run_id IS NOT NULL;

CREATE TABLE delegations (
    child_run_id  text PRIMARY KEY,          -- given before the child is started, so that one call has one
    parent_run_id text NOT NULL REFERENCES runs (run_id),
    call_id       text NOT NULL,
    agent         text NOT NULL,
    agent_version text NOT NULL REFERENCES agents (version),
    task          text NOT NULL,
    budget        json NOT NULL,             -- what of it was carved out of the parent's is held by the parent's call
    mode          text NOT NULL,             -- the strictest of the line
    upto_seq      integer NOT NULL,          -- the parent's model had read its transcript below, when it wrote the task
    tainted_by    text,                      -- what the parent had read by then
    suspect       text,
    private_by    text,
    at            timestamptz NOT NULL DEFAULT now(),
    UNIQUE (parent_run_id, call_id)
);
CREATE TRIGGER delegations_append_only BEFORE UPDATE OR DELETE ON delegations
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What a sub-agent that is over has spent, by unit, with what its own sub-agents spent. What may have been spent counts:
-- a hold that nobody could resolve is in it. NULL while it is at work; nothing of one that never began.
CREATE FUNCTION delegation_spent(child text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM runs r WHERE r.run_id = child AND r.status = 'open') THEN NULL
        ELSE '{"*": 0}'::jsonb || coalesce((
            SELECT jsonb_object_agg(u.unit, u.used)
            FROM (SELECT w.unit, sum(w.settled + w.overrun + w.reserved) AS used
                  FROM windows w JOIN runs r ON r.run_id = child AND r.tenant = w.tenant
                  WHERE w.scope = 'run' AND w.key = child AND w.period = 'run'
                    AND w.unit IN ('micro-usd', 'tokens', 'calls', 'minutes')
                    AND w.class IN ('*', 'tool:delegate') GROUP BY w.unit) u), '{}')
    END
$$;

-- Whether a halt of a run or of an agent stands above this run.
CREATE FUNCTION halt_is_above(of_run text, scope text, target text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM runs r
                   WHERE r.run_id = of_run
                     AND target = ANY (CASE scope WHEN 'run' THEN r.lineage WHEN 'agent' THEN r.agents_above END))
$$;

-- As before, and a halt of a run or an agent covers what it delegated, all the way down.
CREATE OR REPLACE FUNCTION halts_on(of_run text, of_agent text, of_tool text, of_tenant text) RETURNS SETOF halts
LANGUAGE sql STABLE AS $$
    SELECT * FROM halts h
    WHERE h.lifted_at IS NULL
      AND ((h.scope, h.target) IN (('run', of_run), ('fleet', ''), ('tenant', of_tenant), ('agent', of_agent),
                                   ('tool', of_tool))
           OR (h.scope IN ('run', 'agent') AND halt_is_above(of_run, h.scope, h.target)))
    ORDER BY array_position(ARRAY['run', 'fleet', 'tenant', 'agent', 'tool'], h.scope), h.at
$$;

CREATE OR REPLACE FUNCTION claimed_under(of_scope text, of_target text) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT coalesce(json_agg(json_build_object('run_id', e.run_id, 'call_id', e.call_id, 'tool', e.tool,
                                               'contract', e.contract, 'fence', e.fence) ORDER BY e.claimed_at), '[]')
    FROM effects e JOIN runs r USING (run_id)
    WHERE e.state = 'claimed'
      AND (of_target = CASE of_scope WHEN 'run' THEN e.run_id WHEN 'agent' THEN r.agent WHEN 'tool' THEN e.tool
                                     WHEN 'tenant' THEN r.tenant ELSE '' END
           OR of_target = ANY (CASE of_scope WHEN 'run' THEN r.lineage WHEN 'agent' THEN r.agents_above END))
$$;
