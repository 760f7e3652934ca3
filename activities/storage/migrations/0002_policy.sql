-- Policies, principals and their keys, approvals by several people, endorsed values, suspect results, daily caps.

CREATE TABLE policies (
    version     text PRIMARY KEY,            -- SHA-256 of scope, text and floor
    scope       text NOT NULL,               -- a tenant, or '*': the platform's, which holds for every tenant
    text        text NOT NULL,               -- Cedar
    money_floor bigint NOT NULL DEFAULT 0 CHECK (money_floor >= 0), -- minor units; what moves no more is T3, not T4
    by          text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE policy_heads (
    scope      text PRIMARY KEY,
    version    text NOT NULL REFERENCES policies (version),
    by         text NOT NULL,                -- who put it in force
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE principals (
    tenant     text NOT NULL,                -- '*': of every tenant
    name       text NOT NULL,                -- such as lee@acme.example, in lower case
    roles      text[] NOT NULL DEFAULT '{}',
    slack_user text,                         -- the Slack user id that is this person
    added_by   text NOT NULL,
    added_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant, name)
);
CREATE UNIQUE INDEX principals_of_slack ON principals (tenant, slack_user) WHERE slack_user IS NOT NULL;

CREATE TABLE keys (
    key        text PRIMARY KEY,             -- fingerprint: the first 16 hex digits of the public key's SHA-256
    public_key bytea NOT NULL,               -- Ed25519, 32 bytes
    kind       text NOT NULL CHECK (kind IN ('person', 'surface')), -- a surface signs for people it authenticated
    tenant     text NOT NULL,                -- '*': of every tenant
    principal  text,                         -- whose it is; null for a surface
    added_by   text NOT NULL,
    added_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CHECK ((kind = 'person') = (principal IS NOT NULL))
);

ALTER TABLE runs ADD COLUMN tainted_by text; -- where it got untrusted data from before its first step, if it did

ALTER TABLE transcript ADD COLUMN suspect text; -- why the data of this result may be wrong, if a check failed

ALTER TABLE approvals
    DROP CONSTRAINT approvals_about_check,
    DROP CONSTRAINT approvals_state_check,
    ADD CHECK (about IN ('call', 'unknown', 'endorse')),
    ADD CHECK (state IN ('open', 'approve', 'edit', 'reject', 'respond', 'happened', 'did-not', 'stop', 'endorsed',
                         'expired', 'withdrawn', 'superseded')),
    ADD COLUMN needed         integer NOT NULL DEFAULT 1 CHECK (needed >= 0), -- how many distinct people
    ADD COLUMN roles          text[] NOT NULL DEFAULT '{}',  -- one of these is needed to decide; empty: anyone
    ADD COLUMN approved_by    text[] NOT NULL DEFAULT '{}',
    ADD COLUMN escalates_at   timestamptz,                   -- from then on, `escalate_roles` may decide as well
    ADD COLUMN escalate_roles text[] NOT NULL DEFAULT '{}',
    ADD COLUMN reviewer       text,                          -- agent that may be one of several people
    ADD COLUMN subject        text,                          -- who has to confirm with a one-time code
    ADD COLUMN code_hash      text,
    ADD COLUMN code_tries     integer NOT NULL DEFAULT 0,
    ADD COLUMN confirmed_at   timestamptz,
    ADD COLUMN repeat_most    integer NOT NULL DEFAULT 0,    -- most n of "and the next n like this"
    ADD COLUMN class          text,                          -- of calls: tool, grant, exact values
    ADD COLUMN alike          text,                          -- what "like this" means: class, reasons to ask, policies
    ADD COLUMN origins        json NOT NULL DEFAULT '[]',    -- [{argument, kind, value, origin}] of what counts
    ADD COLUMN tainted        boolean NOT NULL DEFAULT false,
    ADD COLUMN supersedes     text;                          -- the approval whose edit this one is about

ALTER TABLE decisions
    ADD COLUMN proof     text NOT NULL DEFAULT 'unsigned'
        CHECK (proof IN ('signature', 'code', 'agent', 'standing', 'unsigned')),
    ADD COLUMN statement text;               -- canonical JSON that `signature` signs

CREATE TABLE reviews (                       -- what an agent said that was asked as one of several people
    approval_id text PRIMARY KEY REFERENCES approvals (approval_id),
    agent       text NOT NULL,
    version     text NOT NULL,               -- of that agent; empty if it could not be asked
    verdict     text NOT NULL CHECK (verdict IN ('approve', 'reject', 'none')),
    reason      text NOT NULL,
    tokens      bigint NOT NULL,
    usd_micros  bigint NOT NULL,
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER reviews_append_only BEFORE UPDATE OR DELETE ON reviews
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE endorsements (
    run_id text NOT NULL,
    value  text NOT NULL,                    -- as the person typed it
    by     text NOT NULL,
    proof  text NOT NULL CHECK (proof IN ('signature', 'unsigned')),
    key       text,
    signature text,
    statement text,                          -- canonical JSON that `signature` signs
    at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, value)
);
CREATE TRIGGER endorsements_append_only BEFORE UPDATE OR DELETE ON endorsements
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE standing_approvals (
    approval_id text PRIMARY KEY REFERENCES approvals (approval_id), -- the one it was given with
    run_id      text NOT NULL,
    alike       text NOT NULL,
    uses_left   integer NOT NULL CHECK (uses_left >= 0),
    by          text NOT NULL,
    proof       text NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX standing_approvals_of_run ON standing_approvals (run_id, alike);

CREATE TABLE daily_uses (
    tenant text NOT NULL,
    agent  text NOT NULL,
    tool   text NOT NULL,
    day    date NOT NULL,                    -- UTC
    used   integer NOT NULL CHECK (used >= 0),
    PRIMARY KEY (tenant, agent, tool, day)
);

CREATE TABLE observations (
    tenant  text NOT NULL,
    tool    text NOT NULL,
    field   text NOT NULL,                   -- as the tool declared it, such as items.stock
    run_id  text NOT NULL,
    call_id text NOT NULL,
    value   double precision NOT NULL,       -- of a list of numbers, their median
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, tool, field, run_id, call_id)
);
CREATE INDEX observations_latest ON observations (tenant, tool, field, at DESC);
CREATE INDEX observations_of_run ON observations (tenant, tool, field, run_id, at DESC);

CREATE TABLE slack_messages (
    approval_id text NOT NULL REFERENCES approvals (approval_id),
    channel     text NOT NULL,
    ts          text,                        -- null while the replica that took it has not posted yet
    shown_state text,                        -- the approval's state that the message shows
    owner       text NOT NULL,
    taken_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (approval_id, channel)
);

CREATE TABLE proposals (
    proposal_id text PRIMARY KEY,
    agent       text NOT NULL,
    version     text NOT NULL,               -- of the agent that it changes
    definition  json NOT NULL,               -- as it would be
    evidence    json NOT NULL,
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL DEFAULT now(),
    accepted_by text,
    accepted_at timestamptz,
    CHECK (accepted_by IS NULL OR accepted_by <> proposed_by)
);
