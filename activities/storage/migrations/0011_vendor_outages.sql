-- Model vendors that give no answer: one row for each while it lasts, shared by all workers, and one for each run that
-- waits. A row of `vendor_outages` is deleted by the first answer.

CREATE TABLE vendor_outages (
    scope         text PRIMARY KEY,          -- vendor, account and address; with the model where only that one is away
    vendor        text NOT NULL,             -- such as anthropic
    model         text NOT NULL DEFAULT '',
    error         text NOT NULL,             -- type of the last failure
    reason        text NOT NULL,
    needs_person  boolean NOT NULL,          -- waiting does not help
    failures      integer NOT NULL DEFAULT 1,  -- in a row
    openings      integer NOT NULL DEFAULT 0,  -- how often in a row it was found away: the interval grows with it
    since         timestamptz NOT NULL DEFAULT now(),
    retry_at      timestamptz,               -- nobody asks before; NULL while it has not failed often enough
    probing_until timestamptz                -- one call is trying whether it is back
);

CREATE TABLE vendor_waits (                  -- open runs that wait for a vendor
    run_id       text PRIMARY KEY REFERENCES runs (run_id),
    scope        text NOT NULL,
    vendor       text NOT NULL,
    error        text NOT NULL,
    reason       text NOT NULL,
    needs_person boolean NOT NULL,
    since        timestamptz NOT NULL DEFAULT now(),
    retry_at     timestamptz NOT NULL
);
CREATE INDEX vendor_waits_of ON vendor_waits (vendor, run_id);

ALTER TABLE alarms DROP CONSTRAINT alarms_kind_check;
ALTER TABLE alarms ADD CONSTRAINT alarms_kind_check
    CHECK (kind IN ('budget.marked', 'budget.breached', 'cost.alarm', 'vendor.away'));
