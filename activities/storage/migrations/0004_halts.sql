-- Halts: the off switch, at a scope; who lifted them; the drills that prove it.

CREATE TABLE halts (
    halt_id   text PRIMARY KEY,
    scope     text NOT NULL CHECK (scope IN ('run', 'agent', 'tool', 'tenant', 'fleet')),
    target    text NOT NULL,                 -- run id, agent, tool or tenant; '' for the fleet
    by        text NOT NULL,
    reason    text NOT NULL DEFAULT '',
    proof     text NOT NULL CHECK (proof IN ('signature', 'unsigned')), -- stopping needs none, so it is only marked
    key       text,
    signature text,
    statement text,                          -- canonical JSON that `signature` signs
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    in_flight json NOT NULL DEFAULT '[]',    -- effects of the scope that were claimed and not settled as it committed
    lifted_at timestamptz,
    told_at   timestamptz,                   -- when every run that it had paused was told that it is lifted
    CHECK ((scope = 'fleet') = (target = '')),
    -- What runs are told; one that they could not read would stand in their way for ever.
    CHECK (by !~ '[\x01-\x1f\x7f]' AND length(by) <= 320 AND length(reason) <= 2000)
);
CREATE INDEX halts_active ON halts (scope, target) WHERE lifted_at IS NULL;
CREATE INDEX halts_latest ON halts (at DESC);

CREATE TABLE lift_orders (
    halt_id   text NOT NULL REFERENCES halts (halt_id),
    by        text NOT NULL,
    proof     text NOT NULL CHECK (proof IN ('signature', 'unsigned')),
    key       text,
    signature text,
    statement text,
    at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX lift_orders_once ON lift_orders (halt_id, by, coalesce(key, '')); -- anew with a new key
CREATE TRIGGER lift_orders_append_only BEFORE UPDATE OR DELETE ON lift_orders
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE drills (
    drill_id  text PRIMARY KEY,
    passed    boolean NOT NULL,
    report    json NOT NULL,
    by        text NOT NULL,
    proof     text NOT NULL CHECK (proof IN ('signature', 'unsigned')),
    key       text,
    signature text,
    statement text,
    at        timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER drills_append_only BEFORE UPDATE OR DELETE ON drills
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Claims and halts are put in one order by an advisory lock: a claim holds it shared until it commits, a halt takes it
-- alone. So a claim either commits before the halt, and is in its list of what was in flight, or sees it and is none.
CREATE FUNCTION halts_lock() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 7305412202';

-- The halts that cover a call (or, without a tool, a run), the one that counts first: what ends a run before what
-- pauses it, and that before what refuses a tool.
CREATE FUNCTION halts_on(of_run text, of_agent text, of_tool text, of_tenant text) RETURNS SETOF halts
LANGUAGE sql STABLE AS $$
    SELECT * FROM halts h
    WHERE h.lifted_at IS NULL
      AND (h.scope, h.target) IN (('run', of_run), ('fleet', ''), ('tenant', of_tenant), ('agent', of_agent),
                                  ('tool', of_tool))
    ORDER BY array_position(ARRAY['run', 'fleet', 'tenant', 'agent', 'tool'], h.scope), h.at
$$;

-- The first of them as runs are told of it, in JSON; NULL if there is none.
CREATE FUNCTION halt_notice(of_run text, of_agent text, of_tool text, of_tenant text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT json_build_object('halt_id', h.halt_id, 'scope', h.scope, 'target', h.target, 'by', h.by,
                             'reason', h.reason)::text
    FROM halts_on(of_run, of_agent, of_tool, of_tenant) h LIMIT 1
$$;

-- Whether a call may be claimed. VOLATILE, so that it reads what has committed once the lock is held, not what had
-- when the claim's statement began.
CREATE FUNCTION halted_at_claim(of_run text, of_agent text, of_tool text, of_tenant text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(halts_lock());
    RETURN EXISTS (SELECT FROM halts_on(of_run, of_agent, of_tool, of_tenant));
END $$;

-- Wait until no claim is half-way. One that stands in the way for longer than a claim ever takes hangs on a worker that
-- is gone or stuck: its connection is closed, so that it fails. Whatever happens, the halt goes on.
CREATE FUNCTION outlast_claims() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('lock_timeout', '250ms', true);
    PERFORM pg_advisory_xact_lock(halts_lock());
EXCEPTION WHEN lock_not_available THEN
    BEGIN
        PERFORM pg_terminate_backend(l.pid) FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted
          AND ((l.classid::bigint << 32) | l.objid::bigint) = halts_lock()
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
        PERFORM set_config('lock_timeout', '2s', true);
        PERFORM pg_advisory_xact_lock(halts_lock());
    EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
        RAISE WARNING 'a halt did not wait for the claims that are under way';
    END;
END $$;

-- What a halt finds in flight: the effects of its scope that are claimed and not settled.
CREATE FUNCTION claimed_under(of_scope text, of_target text) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT coalesce(json_agg(json_build_object('run_id', e.run_id, 'call_id', e.call_id, 'tool', e.tool,
                                               'contract', e.contract, 'fence', e.fence) ORDER BY e.claimed_at), '[]')
    FROM effects e JOIN runs r USING (run_id)
    WHERE e.state = 'claimed'
      AND of_target = CASE of_scope WHEN 'run' THEN e.run_id WHEN 'agent' THEN r.agent WHEN 'tool' THEN e.tool
                                    WHEN 'tenant' THEN r.tenant ELSE '' END
$$;

CREATE FUNCTION order_halt(new_id text, of_scope text, of_target text, who text, why text, how text, of_key text,
                           of_signature text, of_statement text) RETURNS halts
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    ordered halts;
BEGIN
    PERFORM outlast_claims();
    INSERT INTO halts (halt_id, scope, target, by, reason, proof, key, signature, statement, in_flight)
    VALUES (new_id, of_scope, of_target, who, why, how, of_key, of_signature, of_statement,
            claimed_under(of_scope, of_target))
    RETURNING * INTO ordered;
    PERFORM pg_notify('stanchion_halts', new_id);
    RETURN ordered;
END $$;

-- One person's order to lift a halt; it is lifted once enough distinct people have given theirs. The order of somebody
-- who is revoked by now, or that was signed with a key that is, counts no more.
CREATE FUNCTION order_lift(of_halt text, who text, how text, of_key text, of_signature text, of_statement text,
                           people integer) RETURNS TABLE (lifted boolean, by_whom text[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM halts h WHERE h.halt_id = of_halt FOR UPDATE; -- two at once: the second one sees the first one's order
    INSERT INTO lift_orders (halt_id, by, proof, key, signature, statement)
    VALUES (of_halt, who, how, of_key, of_signature, of_statement) ON CONFLICT DO NOTHING;
    by_whom := ARRAY(
        SELECT o.by FROM lift_orders o JOIN halts h USING (halt_id)
        WHERE o.halt_id = of_halt
          AND NOT EXISTS (SELECT FROM keys k WHERE k.key = o.key AND k.revoked_at IS NOT NULL)
          AND NOT EXISTS (SELECT FROM principals p WHERE p.name = o.by AND p.revoked_at IS NOT NULL
                          AND p.tenant IN ('*', CASE h.scope WHEN 'tenant' THEN h.target ELSE '*' END))
        GROUP BY o.by ORDER BY min(o.at));
    lifted := cardinality(by_whom) >= people;
    IF lifted THEN
        UPDATE halts SET lifted_at = clock_timestamp() WHERE halt_id = of_halt AND lifted_at IS NULL;
        PERFORM pg_notify('stanchion_halts', of_halt);
    END IF;
    RETURN NEXT;
END $$;
