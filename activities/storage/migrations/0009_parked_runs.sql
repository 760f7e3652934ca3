-- What has to stay quick with thousands of open runs: the reaper's rotation, and lists by page.

-- When the reaper last asked Temporal about an open run. A pass takes those that were asked about longest ago.
ALTER TABLE runs ADD COLUMN checked_at timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX runs_to_check ON runs (checked_at, run_id) WHERE status = 'open';

-- Lists are read by page: the latest runs first, the oldest question first.
DROP INDEX runs_latest;
CREATE INDEX runs_latest ON runs (opened_at DESC, run_id DESC);
DROP INDEX approvals_open;
CREATE INDEX approvals_open ON approvals (requested_at, approval_id) WHERE state = 'open';

-- Holds that are to be looked after: overdue ones, those that were lost, and those of runs that closed lately.
CREATE INDEX holds_due ON holds (expires_at) WHERE state = 'reserved';
CREATE INDEX holds_lost ON holds (run_id) WHERE state = 'lost';
CREATE INDEX runs_closed ON runs (closed_at) WHERE closed_at IS NOT NULL;
