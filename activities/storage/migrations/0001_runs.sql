-- Agents, runs, transcript, steps, calls, effects, approvals, decisions, trace log.
--
-- Hot tables (transcript, steps, calls, effects, events) have no foreign keys: each row is written in the statement
-- that made it true, by a run that already exists, and a key check per row would cost more than the row.

CREATE TABLE agents (
    version     text PRIMARY KEY,            -- SHA-256 of the definition and its tools' hashes
    name        text NOT NULL,
    definition  json NOT NULL,
    tools       json NOT NULL,               -- as offered to the model, each pinned by hash
    source      text NOT NULL,               -- folder the definition came from; relative script paths start there
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE agent_heads (
    name        text PRIMARY KEY,
    version     text NOT NULL REFERENCES agents (version),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE runs (
    run_id         text PRIMARY KEY,         -- the workflow id
    chain_id       text NOT NULL,            -- first execution of the workflow that owns this row now
    agent          text NOT NULL,
    agent_version  text NOT NULL REFERENCES agents (version),
    tenant         text NOT NULL,
    requester      text,
    goal_digest    bytea NOT NULL,
    mode           text NOT NULL CHECK (mode IN ('observe', 'propose', 'tiered', 'autonomous')),
    budget         json NOT NULL,
    policy_version text NOT NULL,
    status         text NOT NULL DEFAULT 'open'
                   CHECK (status IN ('open', 'completed', 'stopped', 'cancelled', 'failed', 'terminated')),
    outcome        json,
    opened_at      timestamptz NOT NULL DEFAULT now(),
    closed_at      timestamptz,
    CHECK ((status = 'open') = (closed_at IS NULL))
);
CREATE INDEX runs_open ON runs (opened_at) WHERE status = 'open';
CREATE INDEX runs_latest ON runs (opened_at DESC);

CREATE TABLE blobs (
    digest  bytea PRIMARY KEY,               -- SHA-256 of the UTF-8 text
    text    text NOT NULL
);

CREATE TABLE transcript (
    run_id   text NOT NULL,
    seq      integer NOT NULL CHECK (seq >= 0),
    kind     text NOT NULL CHECK (kind IN ('goal', 'message', 'response', 'result', 'note')),
    origin   text NOT NULL CHECK (origin IN ('user', 'trusted', 'untrusted', 'model')),
    call_id  text CHECK ((kind = 'result') = (call_id IS NOT NULL)),
    content  json,                           -- the blocks of activities.model.provider, or
    blob     bytea,                          -- where they are, above 4 KB
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, seq),
    CHECK ((content IS NULL) <> (blob IS NULL))
);
CREATE UNIQUE INDEX transcript_one_result_per_call ON transcript (run_id, call_id) WHERE kind = 'result';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER transcript_append_only BEFORE UPDATE OR DELETE ON transcript
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE steps (
    run_id      text NOT NULL,
    step        integer NOT NULL,
    seq         integer NOT NULL,            -- of the response in the transcript
    plan        json NOT NULL,               -- returned again to a retry: the model is not called twice
    model       text NOT NULL,
    stop_reason text NOT NULL,
    usage       json NOT NULL,
    usd_micros  bigint NOT NULL CHECK (usd_micros >= 0),
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, step)
);

CREATE TABLE calls (
    run_id     text NOT NULL,
    call_id    text NOT NULL,
    step       integer NOT NULL,
    seq        integer NOT NULL,             -- where its result belongs in the transcript
    tool       text NOT NULL,
    arguments  json NOT NULL,                -- canonical JSON, as the model sent them
    digest     text NOT NULL,                -- SHA-256 over tool and arguments
    invalid    text,                         -- why they could not be read, if so
    PRIMARY KEY (run_id, call_id)
);

CREATE TABLE effects (
    run_id      text NOT NULL,
    call_id     text NOT NULL,
    tool        text NOT NULL,
    contract    text NOT NULL,
    effect      text NOT NULL,
    fence       integer NOT NULL,            -- raised by every attempt that takes the effect over
    state       text NOT NULL CHECK (state IN ('claimed', 'waiting', 'settled', 'refused', 'unknown', 'abandoned')),
    digest      text NOT NULL,               -- what was claimed: tool, pinned hash, arguments, policy
    approval_id text,
    wait_until  timestamptz,
    result      json,                        -- the CallResult, returned again to a retry
    output      bytea,                       -- blob of the whole output, if the transcript holds only its head
    worker      text NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT now(),
    settled_at  timestamptz,
    PRIMARY KEY (run_id, call_id)
);
CREATE INDEX effects_unsettled ON effects (run_id) WHERE state IN ('claimed', 'waiting', 'unknown');

CREATE TABLE approvals (
    approval_id  text PRIMARY KEY,
    run_id       text NOT NULL REFERENCES runs (run_id),
    call_id      text NOT NULL,
    about        text NOT NULL CHECK (about IN ('call', 'unknown')),
    tool         text NOT NULL,
    tier         text,
    arguments    json NOT NULL,
    digest       text NOT NULL,              -- of the exact call; see activities/gateway/digest.py
    rule         text NOT NULL,
    reason       text NOT NULL,
    state        text NOT NULL DEFAULT 'open' CHECK (state IN
                 ('open', 'approve', 'edit', 'reject', 'respond', 'happened', 'did-not', 'stop', 'expired', 'withdrawn')),
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    closed_at    timestamptz
);
CREATE INDEX approvals_open ON approvals (requested_at) WHERE state = 'open';
CREATE INDEX approvals_of_call ON approvals (run_id, call_id);

CREATE TABLE decisions (
    approval_id  text NOT NULL REFERENCES approvals (approval_id),
    by           text NOT NULL,
    verdict      text NOT NULL,
    reason       text,
    arguments    json,
    key          text,
    signature    text,
    signed       boolean NOT NULL,           -- false: counted only because unsigned decisions were allowed
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (approval_id, by)
);
CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE ON decisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE events (
    run_id   text NOT NULL,
    n        bigint GENERATED ALWAYS AS IDENTITY,
    kind     text NOT NULL,
    step     integer,
    call_id  text,
    trace_id text,
    body     json NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, n)
);
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
