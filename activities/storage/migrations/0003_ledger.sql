-- The budget ledger: windows that are reserved from before something starts, and settled or released afterwards.
--
-- settled + reserved <= cap holds at every instant, because it is a CHECK on one row. All windows of a hold are changed
-- in one statement and in one order (by window_id), so that writers wait for each other and never in a circle. Nothing
-- but the functions below writes these tables.

CREATE TABLE windows (
    window_id uuid PRIMARY KEY,              -- ledger_window of the seven below
    tenant    text NOT NULL,
    scope     text NOT NULL CHECK (scope IN ('run', 'agent', 'tenant', 'requester', 'destination')),
    key       text NOT NULL,                 -- which run, agent, requester or destination; empty: the tenant itself
    unit      text NOT NULL,                 -- micro-usd, tokens, calls, minor:EUR, recipients, bytes-out, minutes, slots
    class     text NOT NULL,                 -- of calls: send, money, …, tool:NAME; '*' is all
    period    text NOT NULL CHECK (period IN ('run', 'hour', 'day', 'month', 'total')),
    starts_at timestamptz NOT NULL,          -- UTC; 'epoch' where nothing rolls
    cap       bigint NOT NULL CHECK (cap BETWEEN 0 AND 1000000000000000000), -- 10^18: no sum below overflows
    settled   bigint NOT NULL DEFAULT 0 CHECK (settled >= 0),
    reserved  bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    overrun   bigint NOT NULL DEFAULT 0 CHECK (overrun >= 0), -- was used beyond what was reserved; counts as used
    CONSTRAINT windows_within_cap CHECK (settled + reserved <= cap)
) WITH (fillfactor = 50);                    -- room for the next version of a row beside it, so that no index grows
CREATE INDEX windows_of ON windows (tenant, scope, key);

CREATE TABLE holds (
    hold_id    text PRIMARY KEY,             -- run_id/call_id, run_id/step:N, run_id/review:ID, run_id/slot
    run_id     text NOT NULL,
    window_ids uuid[] NOT NULL,              -- ascending
    units      text[] NOT NULL,              -- of each window
    reserved   bigint[] NOT NULL CHECK (coalesce(0 <= ALL (reserved), false)), -- of each window
    settled    bigint[] NOT NULL,            -- what was used of each, overrun included
    state      text NOT NULL DEFAULT 'reserved' CHECK (state IN ('reserved', 'settled', 'released', 'lost')),
    expires_at timestamptz NOT NULL,         -- from then on it is looked after: counted all the same
    at         timestamptz NOT NULL DEFAULT now(),
    closed_at  timestamptz
);
CREATE INDEX holds_open ON holds (run_id) WHERE state IN ('reserved', 'lost');

CREATE TABLE window_members (                -- what a window counts once, however often it is named: recipients
    window_id uuid NOT NULL,
    member    text NOT NULL,
    hold_id   text NOT NULL,
    counted   boolean NOT NULL,              -- by this hold; by another one else
    PRIMARY KEY (window_id, member, hold_id)
);

CREATE TABLE caps (
    tenant text NOT NULL,                    -- '*': the platform's own, in place of what it ships with
    scope  text NOT NULL CHECK (scope IN ('run', 'agent', 'tenant', 'requester', 'destination')),
    key    text NOT NULL DEFAULT '*',        -- one agent, requester or destination; '*': each of them
    unit   text NOT NULL CHECK (unit IN ('micro-usd', 'tokens', 'calls', 'minor', 'recipients', 'bytes-out', 'minutes',
                                         'slots') OR unit ~ '^minor:[A-Z]{3}$'),
    class  text NOT NULL DEFAULT '*',
    period text NOT NULL CHECK (period IN ('action', 'run', 'hour', 'day', 'month', 'total')),
    cap    bigint NOT NULL CHECK (cap BETWEEN 0 AND 1000000000000000000),
    by     text NOT NULL,
    at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, scope, key, unit, class, period)
);

CREATE TABLE cap_breaches (                  -- rows that were ever seen above their cap: it has to stay empty
    window_id uuid NOT NULL,
    cap       bigint NOT NULL,
    settled   bigint NOT NULL,
    reserved  bigint NOT NULL,
    at        timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION note_cap_breach() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cap_breaches (window_id, cap, settled, reserved)
    VALUES (NEW.window_id, NEW.cap, NEW.settled, NEW.reserved);
    RETURN NULL;
END $$;
CREATE TRIGGER windows_watched AFTER INSERT OR UPDATE ON windows
    FOR EACH ROW WHEN (NEW.settled + NEW.reserved > NEW.cap) EXECUTE FUNCTION note_cap_breach();

-- Where the period that `moment` lies in starts. Days and months are those of UTC.
CREATE FUNCTION ledger_start(period text, moment timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN period IN ('hour', 'day', 'month') THEN date_trunc(period, moment, 'UTC') ELSE 'epoch' END
$$;

-- The id of a window: the same for everyone who means the same window.
CREATE FUNCTION ledger_window(
    tenant text, scope text, key text, unit text, class text, period text, starts_at timestamptz
) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT md5(concat_ws(chr(31), tenant, scope, key, unit, class, period, extract(epoch FROM starts_at)))::uuid
$$;

-- Reserve from all windows of a hold, or from none: a window with too little left raises SL001 with what is left in
-- DETAIL, and the caller's statement with everything in it is undone.
-- `wanted`: [{n, tenant, scope, key, unit, class, period, cap, amount, members?}], each window once; members are counted
-- once each.
-- Idempotent by hold: one that is there already keeps what it has, counts as owned again, and is returned by unit.
CREATE FUNCTION ledger_reserve(
    hold text, run text, wanted jsonb, seconds double precision, moment timestamptz DEFAULT now()
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    held holds;
    until timestamptz := moment + make_interval(secs => seconds);
    needed bigint;
    taken uuid[];
BEGIN
    IF wanted @? '$[*].members' THEN
        wanted := ledger_members(hold, wanted, moment);
    END IF;
    -- The hold's own row comes first: another attempt at the same one waits there, and finds it. Then its windows, in
    -- the one order in which everyone locks them.
    WITH w AS MATERIALIZED (
        SELECT ledger_window(x.tenant, x.scope, x.key, x.unit, x.class, x.period, s.starts_at) AS id, s.starts_at, x.*
        FROM jsonb_to_recordset(wanted) AS x (tenant text, scope text, key text, unit text, class text, period text,
                                              cap bigint, amount bigint),
             LATERAL (SELECT ledger_start(x.period, moment) AS starts_at) s
        ORDER BY 1
    ), made AS (
        INSERT INTO holds (hold_id, run_id, window_ids, units, reserved, settled, expires_at)
        SELECT hold, run, coalesce(array_agg(w.id), '{}'), coalesce(array_agg(w.unit), '{}'),
               coalesce(array_agg(w.amount), '{}'), coalesce(array_agg(0::bigint), '{}'), until
        FROM w
        ON CONFLICT (hold_id) DO NOTHING
        RETURNING cardinality(window_ids) AS needed
    ), reserving AS (
        INSERT INTO windows AS v (window_id, tenant, scope, key, unit, class, period, starts_at, cap, reserved)
        SELECT w.id, w.tenant, w.scope, w.key, w.unit, w.class, w.period, w.starts_at, w.cap, w.amount
        FROM made CROSS JOIN w WHERE w.amount <= w.cap
        ORDER BY w.id
        ON CONFLICT (window_id) DO UPDATE SET reserved = v.reserved + excluded.reserved,
            cap = CASE excluded.reserved WHEN 0 THEN v.cap ELSE excluded.cap END
            WHERE excluded.reserved = 0 OR v.settled + v.reserved + v.overrun + excluded.reserved <= excluded.cap
        RETURNING window_id
    )
    SELECT (SELECT made.needed FROM made), array_agg(r.window_id) INTO needed, taken FROM reserving r;
    IF needed > coalesce(cardinality(taken), 0) THEN
        PERFORM ledger_breach(wanted, moment, coalesce(taken, '{}'));
    ELSIF needed IS NULL THEN
        SELECT * INTO STRICT held FROM holds h WHERE h.hold_id = hold FOR UPDATE;
        IF held.state = 'released' THEN -- it held nothing, and is made anew
            DELETE FROM holds h WHERE h.hold_id = hold;
            RETURN ledger_reserve(hold, run, wanted, seconds, moment);
        END IF;
        UPDATE holds h SET state = 'reserved', expires_at = until
        WHERE h.hold_id = hold AND h.state IN ('reserved', 'lost');
        RETURN (SELECT jsonb_object_agg(u.unit, u.least)
                FROM (SELECT unit, min(amount) AS least
                      FROM unnest(held.units, held.reserved) AS x (unit, amount) GROUP BY unit) u);
    END IF;
    RETURN NULL;
END $$;

-- Raises SL001 for the first window that was not taken.
CREATE FUNCTION ledger_breach(wanted jsonb, moment timestamptz, taken uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a budget is used up' USING ERRCODE = 'SL001', DETAIL = (
        SELECT jsonb_build_object('n', w.n, 'cap', w.cap, 'amount', w.amount,
                                  'used', coalesce(v.settled + v.overrun, 0), 'reserved', coalesce(v.reserved, 0))::text
        FROM (SELECT ledger_window(x.tenant, x.scope, x.key, x.unit, x.class, x.period,
                                   ledger_start(x.period, moment)) AS id, x.n, x.cap, x.amount
              FROM jsonb_to_recordset(wanted) AS x (n integer, tenant text, scope text, key text, unit text, class text,
                                                    period text, cap bigint, amount bigint)) w
        LEFT JOIN windows v ON v.window_id = w.id
        WHERE w.id <> ALL (taken) ORDER BY w.id LIMIT 1);
END $$;

-- What is wanted, where each window with members reserves as many of them as it has not counted yet; from here on they
-- are counted by this hold. All windows are locked first, in the one order, so that two holds never both think that a
-- member is new. A hold that is there already changes nothing.
CREATE FUNCTION ledger_members(hold text, wanted jsonb, moment timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    w record;
    added bigint;
    asked jsonb := '[]';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(hold, 7305412203));
    IF EXISTS (SELECT FROM holds h WHERE h.hold_id = hold AND h.state <> 'released') THEN
        RETURN wanted;
    END IF;
    DELETE FROM holds h WHERE h.hold_id = hold AND h.state = 'released'; -- it held nothing, and is made anew
    FOR w IN
        SELECT ledger_window(x.tenant, x.scope, x.key, x.unit, x.class, x.period, s.starts_at) AS id, s.starts_at, e.said, x.*
        FROM jsonb_array_elements(wanted) AS e (said),
             LATERAL jsonb_to_record(e.said) AS x (tenant text, scope text, key text, unit text, class text, period text,
                                                   cap bigint, members text[]),
             LATERAL (SELECT ledger_start(x.period, moment) AS starts_at) s
        ORDER BY 1
    LOOP
        INSERT INTO windows AS v (window_id, tenant, scope, key, unit, class, period, starts_at, cap)
        VALUES (w.id, w.tenant, w.scope, w.key, w.unit, w.class, w.period, w.starts_at, w.cap)
        ON CONFLICT (window_id) DO UPDATE SET cap = v.cap;
        IF w.members IS NOT NULL THEN
            WITH new AS (
                INSERT INTO window_members (window_id, member, hold_id, counted)
                SELECT w.id, y.member, hold,
                       NOT EXISTS (SELECT FROM window_members m WHERE m.window_id = w.id AND m.member = y.member)
                FROM (SELECT DISTINCT member FROM unnest(w.members) AS z (member)) y
                ON CONFLICT DO NOTHING
                RETURNING counted
            )
            SELECT count(*) INTO added FROM new WHERE new.counted;
            asked := asked || jsonb_build_array(w.said || jsonb_build_object('amount', added));
        ELSE
            asked := asked || jsonb_build_array(w.said);
        END IF;
    END LOOP;
    RETURN asked;
END $$;

-- A hold lets go of its members. Those that another hold names too go on being counted: how many, is returned.
CREATE FUNCTION ledger_forget_members(hold text, id uuid) RETURNS bigint LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM window_members m WHERE m.window_id = id AND m.hold_id = hold RETURNING m.member, m.counted
    ), heirs AS (
        SELECT DISTINCT ON (m.member) m.member, m.hold_id
        FROM window_members m JOIN gone g ON g.member = m.member AND g.counted
        WHERE m.window_id = id AND m.hold_id <> hold ORDER BY m.member, m.hold_id
    ), inherited AS (
        UPDATE window_members m SET counted = true FROM heirs h
        WHERE m.window_id = id AND m.member = h.member AND m.hold_id = h.hold_id
        RETURNING m.member
    )
    SELECT count(*) FROM inherited
$$;

-- End a hold: what it reserved is free again, and what was used of it is settled. Never raises for an amount: what is
-- beyond the cap is kept as overrun, and counts at the next reservation. False: it was ended before, or never made.
-- `used`: by unit, '*' for every other unit; a unit that is not named was used as it was reserved.
CREATE FUNCTION ledger_end(hold text, used jsonb, new_state text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    held holds;
    freed bigint;
    spent bigint;
    spents bigint[] := '{}';
BEGIN
    SELECT * INTO held FROM holds h WHERE h.hold_id = hold FOR UPDATE;
    IF NOT FOUND OR held.state = 'settled' OR held.state = new_state THEN
        RETURN false;
    END IF;
    FOR i IN 1 .. cardinality(held.window_ids) LOOP -- one by one in their order: cheaper than to lock them all first
        -- A hold that was released before and turns out to have been used is added to what is settled.
        freed := CASE WHEN held.state = 'released' THEN 0 ELSE held.reserved[i] END;
        spent := CASE WHEN used IS NULL THEN held.reserved[i] ELSE
            least(greatest(coalesce(used ->> held.units[i], used ->> '*', held.reserved[i]::text)::numeric, 0), 1e18) END;
        IF spent = 0 AND held.units[i] = 'recipients' THEN
            PERFORM FROM windows v WHERE v.window_id = held.window_ids[i] FOR UPDATE;
            spent := ledger_forget_members(hold, held.window_ids[i]);
        END IF;
        IF freed <> 0 OR spent <> 0 THEN
            UPDATE windows v
            SET reserved = v.reserved - freed,
                settled = v.settled + least(spent, v.cap - v.settled - v.reserved + freed),
                overrun = least(v.overrun + greatest(spent - (v.cap - v.settled - v.reserved + freed), 0), 4e18)
            WHERE v.window_id = held.window_ids[i];
        END IF;
        spents := spents || spent;
    END LOOP;
    UPDATE holds h SET state = new_state, settled = spents, closed_at = now() WHERE h.hold_id = hold;
    RETURN true;
END $$;

CREATE FUNCTION ledger_settle(hold text, used jsonb DEFAULT NULL) RETURNS boolean LANGUAGE sql AS $$
    SELECT ledger_end(hold, used, 'settled')
$$;

CREATE FUNCTION ledger_release(hold text) RETURNS boolean LANGUAGE sql AS $$
    SELECT ledger_end(hold, '{"*": 0}', 'released')
$$;

-- What became of a hold whose owner did not end it, from what our tables say of the thing it was made for. Whatever may
-- have happened stays counted; only what cannot have happened is freed. Returns the state it has now.
CREATE FUNCTION ledger_resolve(hold text, run_is_over boolean, minutes bigint DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    held holds;
    subject text;
    known record;
    effect text;
    delegated record;
BEGIN
    SELECT * INTO held FROM holds h WHERE h.hold_id = hold FOR UPDATE;
    subject := substr(held.hold_id, length(held.run_id) + 2);
    CASE split_part(subject, ':', 1)
        WHEN 'slot' THEN -- of a run that nobody closed in order no more is known than how long it was there
            IF run_is_over THEN
                PERFORM ledger_settle(hold, jsonb_build_object('slots', 0, 'minutes', coalesce(minutes, (
                    SELECT ceil(extract(epoch FROM coalesce(r.closed_at, now()) - r.opened_at) / 60)::bigint
                    FROM runs r WHERE r.run_id = held.run_id), 0)));
            END IF;
        WHEN 'step', 'review' THEN -- an answer may have been billed that nobody stored: then the ceiling is what it cost
            SELECT s.usd_micros, coalesce((s.plan ->> 'tokens')::bigint, 0) AS tokens INTO known
            FROM steps s WHERE subject = 'step:' || s.step AND s.run_id = held.run_id
            UNION ALL
            SELECT v.usd_micros, v.tokens FROM reviews v WHERE subject = 'review:' || v.approval_id;
            IF FOUND THEN
                PERFORM ledger_settle(hold, jsonb_build_object('micro-usd', known.usd_micros, 'tokens', known.tokens));
            ELSIF run_is_over THEN
                PERFORM ledger_settle(hold);
            ELSE
                UPDATE holds h SET state = 'lost' WHERE h.hold_id = hold AND h.state = 'reserved';
            END IF;
        ELSE
            SELECT delegation_spent(d.child_run_id) AS spent INTO delegated -- what a sub-agent spent, once it is over
            FROM delegations d WHERE d.parent_run_id = held.run_id AND d.call_id = subject;
            IF FOUND AND run_is_over THEN
                PERFORM ledger_settle(hold, delegated.spent) WHERE delegated.spent IS NOT NULL;
                UPDATE holds h SET state = 'lost' WHERE h.hold_id = hold AND h.state = 'reserved';
                RETURN (SELECT h.state FROM holds h WHERE h.hold_id = hold);
            END IF;
            SELECT CASE WHEN run_is_over AND e.contract = 'pure' THEN 'abandoned' ELSE e.state END INTO effect
            FROM effects e WHERE e.run_id = held.run_id AND e.call_id = subject;
            CASE
                WHEN effect = 'settled' THEN PERFORM ledger_settle(hold);
                WHEN effect IS NULL OR effect IN ('refused', 'abandoned') THEN PERFORM ledger_release(hold);
                ELSE UPDATE holds h SET state = 'lost' WHERE h.hold_id = hold AND h.state = 'reserved';
            END CASE;
    END CASE;
    RETURN (SELECT h.state FROM holds h WHERE h.hold_id = hold);
END $$;

-- End what a run still holds, now that it is over. All windows are locked first, in the order that everyone takes.
CREATE FUNCTION ledger_close(run text, minutes bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    open_one record;
BEGIN
    PERFORM FROM holds h WHERE h.run_id = run AND h.state IN ('reserved', 'lost') ORDER BY h.hold_id FOR UPDATE;
    PERFORM FROM windows v
    WHERE v.window_id IN (SELECT unnest(h.window_ids) FROM holds h
                          WHERE h.run_id = run AND h.state IN ('reserved', 'lost'))
    ORDER BY v.window_id FOR UPDATE;
    -- By name: minutes that were added to it (grant:…) are given back before what it used is settled (slot).
    FOR open_one IN
        SELECT h.hold_id FROM holds h WHERE h.run_id = run AND h.state IN ('reserved', 'lost') ORDER BY h.hold_id
    LOOP
        PERFORM ledger_resolve(open_one.hold_id, true, minutes);
    END LOOP;
END $$;

-- Daily uses of a tool are windows from here on.
INSERT INTO windows (window_id, tenant, scope, key, unit, class, period, starts_at, cap, settled)
SELECT ledger_window(u.tenant, 'agent', u.agent, 'calls', 'tool:' || u.tool, 'day', s.starts_at),
       u.tenant, 'agent', u.agent, 'calls', 'tool:' || u.tool, 'day', s.starts_at, u.used, u.used
FROM daily_uses u, LATERAL (SELECT u.day::timestamp AT TIME ZONE 'UTC' AS starts_at) s;
DROP TABLE daily_uses;
