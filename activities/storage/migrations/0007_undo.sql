-- Rollbacks: who ordered that a run's effects be taken back, and which call takes back which effect.

CREATE TABLE rollbacks (
    rollback_id text PRIMARY KEY,            -- the run that takes them back
    of_run      text NOT NULL REFERENCES runs (run_id),
    to_step     integer NOT NULL CHECK (to_step >= 0), -- what this step and those before it did stays; 0: nothing does
    number      integer NOT NULL CHECK (number >= 1),  -- a later one does what an earlier one could not
    by          text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    proof       text NOT NULL CHECK (proof IN ('signature', 'unsigned', 'definition')), -- the agent's own on_failure
    key         text,
    signature   text,
    statement   text,                        -- canonical JSON that `signature` signs
    at          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (of_run, to_step, number),
    -- What the run is told; one that it could not read would stand in its way for ever.
    CHECK (by !~ '[\x01-\x1f\x7f]' AND length(by) BETWEEN 1 AND 320 AND length(reason) <= 2000)
);
CREATE TRIGGER rollbacks_append_only BEFORE UPDATE OR DELETE ON rollbacks
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE undos (
    by_run    text NOT NULL,                 -- the call that takes an effect back
    by_call   text NOT NULL,
    run_id    text NOT NULL,                 -- the call whose effect it is
    call_id   text NOT NULL,
    tool      text NOT NULL,
    arguments json NOT NULL,
    origins   json NOT NULL,                 -- argument -> whether our record of it can be trusted
    private   boolean NOT NULL,              -- what it is made of must not leave the house
    suspect   text,                          -- why what it is made of may be wrong
    given_up  boolean NOT NULL DEFAULT false, -- it took nothing back, and another one tries
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (by_run, by_call)
);
-- No effect is taken back by two calls, whatever rollbacks there are.
CREATE UNIQUE INDEX undos_one_per_effect ON undos (run_id, call_id) WHERE NOT given_up;

-- Order a rollback of a run that is over. The latest one to this step is the rollback, unless that has ended and `again`
-- says that something is left which another could do. No row: there is no such run, or it is open.
CREATE FUNCTION order_rollback(run text, step integer, again boolean, who text, why text, how text, of_key text,
                               of_signature text, of_statement text) RETURNS SETOF rollbacks
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    ordered runs;
    latest rollbacks;
    key text;
BEGIN
    SELECT * INTO ordered FROM runs r WHERE r.run_id = run AND r.status <> 'open' FOR UPDATE; -- one order at a time
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO latest FROM rollbacks b WHERE b.of_run = run AND b.to_step = step ORDER BY b.number DESC LIMIT 1;
    IF FOUND AND NOT (again AND EXISTS (SELECT FROM runs r WHERE r.run_id = latest.rollback_id AND r.status <> 'open'))
    THEN
        RETURN NEXT latest;
        RETURN;
    END IF;
    key := 'rollback' || CASE WHEN step > 0 THEN '-to-' || step ELSE '' END
           || CASE WHEN latest.number >= 1 THEN '-again-' || latest.number + 1 ELSE '' END
           || '-of-' || regexp_replace(run, '^agent/[^/]*/', '');
    RETURN QUERY INSERT INTO rollbacks (rollback_id, of_run, to_step, number, by, reason, proof, key, signature, statement)
    VALUES ('agent/' || ordered.agent || '/' || key, run, step, coalesce(latest.number, 0) + 1, who, why, how, of_key,
            of_signature, of_statement)
    RETURNING *;
END $$;

-- Whether a call that was to take an effect back certainly did not and never will: its run is over, and the call was
-- never begun, was refused, or failed without doing anything.
CREATE FUNCTION undo_came_to_nothing(run text, call text) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (SELECT FROM runs r WHERE r.run_id = run AND r.status <> 'open')
       AND NOT EXISTS (SELECT FROM effects e WHERE e.run_id = run AND e.call_id = call AND e.state <> 'refused'
                       AND NOT (e.state = 'settled' AND (e.result ->> 'happened')::boolean IS NOT DISTINCT FROM false))
$$;

-- Make one call the one that takes an effect back, if no other is. False: another is, or the call has one already.
CREATE FUNCTION take_undo(rollback text, undo_call text, run text, call text, undo_tool text, with_arguments json,
                          of_origins json, is_private boolean, why_suspect text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE undos u SET given_up = true
    WHERE u.run_id = run AND u.call_id = call AND NOT u.given_up AND u.by_run <> rollback
      AND undo_came_to_nothing(u.by_run, u.by_call);
    INSERT INTO undos (by_run, by_call, run_id, call_id, tool, arguments, origins, private, suspect)
    VALUES (rollback, undo_call, run, call, undo_tool, with_arguments, of_origins, is_private, why_suspect)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;
