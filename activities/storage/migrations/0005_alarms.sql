-- What is told of budgets, what people add to them, and what a run of an agent usually costs.

-- Runs that were opened before this stop when their budget is used up, as they did.
ALTER TABLE runs ADD COLUMN on_budget text NOT NULL DEFAULT 'stop' CHECK (on_budget IN ('pause', 'stop'));

-- The last completed runs of an agent: what its runs cost is learned from them.
CREATE INDEX runs_completed ON runs (agent, closed_at DESC) WHERE status = 'completed';

CREATE TABLE alarms (                         -- each is told once; the outbox that Slack reads
    alarm_id text PRIMARY KEY,               -- run_id/key
    run_id   text NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('budget.marked', 'budget.breached', 'cost.alarm')),
    body     json NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alarms_of ON alarms (run_id, at DESC);
CREATE INDEX alarms_latest ON alarms (at);

CREATE TABLE slack_alarms (                  -- which alarm was posted to which channel; several bots post each once
    alarm_id text NOT NULL,
    channel  text NOT NULL,
    owner    text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    ts       text,                           -- of the message; null while it is being posted
    PRIMARY KEY (alarm_id, channel)
);

CREATE TABLE budget_grants (                 -- what people added to the budgets of runs
    grant_id   text PRIMARY KEY,
    run_id     text NOT NULL REFERENCES runs (run_id),
    usd_micros bigint NOT NULL DEFAULT 0 CHECK (usd_micros BETWEEN 0 AND 1000000000),
    tokens     bigint NOT NULL DEFAULT 0 CHECK (tokens BETWEEN 0 AND 100000000),
    tool_calls bigint NOT NULL DEFAULT 0 CHECK (tool_calls BETWEEN 0 AND 10000),
    minutes    bigint NOT NULL DEFAULT 0 CHECK (minutes BETWEEN 0 AND 10080),
    steps      bigint NOT NULL DEFAULT 0 CHECK (steps BETWEEN 0 AND 10000),
    by         text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    proof      text NOT NULL CHECK (proof IN ('signature', 'unsigned')),
    key        text,
    signature  text,
    statement  text,                         -- canonical JSON that `signature` signs
    budget     json NOT NULL,                -- the run's, with this in it
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (usd_micros + tokens + tool_calls + minutes + steps > 0)
);
CREATE INDEX budget_grants_of ON budget_grants (run_id, at);
CREATE TRIGGER budget_grants_append_only BEFORE UPDATE OR DELETE ON budget_grants
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Add to the budget of an open run, once for each grant: the one place where a budget grows. What a run costs beyond
-- its kind (stop_usd_micros) is allowed by as much more.
-- `most`: what all grants of this person to this run may come to, for its requester; NULL for anyone else.
-- given: it is added; again: this very grant was given before; taken: another one has its id; closed: the run is over
-- or never pauses; above: it is more than this person may give. Only `given` changes anything.
CREATE FUNCTION grant_budget(new_id text, of_run text, added jsonb, who text, why text, how text, of_key text,
                             of_signature text, of_statement text, most jsonb) RETURNS TABLE (outcome text, raised json)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    r runs;
    g budget_grants;
    name text;
    sums jsonb;
BEGIN
    SELECT * INTO r FROM runs WHERE runs.run_id = of_run FOR UPDATE; -- two grants at once add up
    SELECT * INTO g FROM budget_grants b WHERE b.grant_id = new_id;
    IF FOUND THEN
        outcome := CASE WHEN g.run_id = of_run AND g."by" = who AND to_jsonb(g) @> added THEN 'again' ELSE 'taken' END;
        raised := r.budget;
        RETURN NEXT;
        RETURN;
    END IF;
    IF r.run_id IS NULL OR r.status <> 'open' OR r.on_budget <> 'pause' THEN
        outcome := 'closed';
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT jsonb_build_object('usd_micros', sum(b.usd_micros), 'tokens', sum(b.tokens), 'minutes', sum(b.minutes),
                              'tool_calls', sum(b.tool_calls), 'steps', sum(b.steps)) INTO sums
    FROM budget_grants b WHERE b.run_id = of_run AND b."by" = who;
    raised := r.budget;
    FOREACH name IN ARRAY ARRAY['usd_micros', 'tokens', 'tool_calls', 'minutes', 'steps'] LOOP
        IF coalesce((sums ->> name)::bigint, 0) + (added ->> name)::bigint > (most ->> name)::bigint
           AND (added ->> name)::bigint > 0 THEN
            outcome := 'above';
            RETURN NEXT;
            RETURN;
        END IF;
        raised := (raised::jsonb || jsonb_build_object(name, (raised ->> name)::bigint + (added ->> name)::bigint))::json;
    END LOOP;
    IF coalesce((raised ->> 'stop_usd_micros')::bigint, 0) > 0 THEN
        raised := (raised::jsonb || jsonb_build_object('stop_usd_micros', (raised ->> 'stop_usd_micros')::bigint
                                                                          + (added ->> 'usd_micros')::bigint))::json;
    END IF;
    INSERT INTO budget_grants (grant_id, run_id, usd_micros, tokens, tool_calls, minutes, steps, by, reason, proof, key,
                               signature, statement, budget)
    VALUES (new_id, of_run, (added ->> 'usd_micros')::bigint, (added ->> 'tokens')::bigint,
            (added ->> 'tool_calls')::bigint, (added ->> 'minutes')::bigint, (added ->> 'steps')::bigint,
            who, why, how, of_key, of_signature, of_statement, raised);
    UPDATE runs SET budget = raised WHERE runs.run_id = of_run;
    outcome := 'given';
    RETURN NEXT;
END $$;
