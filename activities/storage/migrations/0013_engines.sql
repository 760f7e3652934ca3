-- Which Temporal a run lives in. Two of them may share one database; each judges its own runs only.

ALTER TABLE runs ADD COLUMN engine text NOT NULL DEFAULT '';  -- "<cluster id>/<namespace>"; '': opened before this
