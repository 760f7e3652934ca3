-- name: due
-- Open approvals that a channel does not show yet and this replica may post: no replica has taken them, this one has,
-- or another one took them more than 60 seconds ago.
SELECT a.approval_id, c.channel
FROM approvals a
JOIN runs r USING (run_id)
CROSS JOIN LATERAL (VALUES (:channel::text, a.requested_at), (:escalation::text, a.escalates_at)) AS c (channel, since)
LEFT JOIN slack_messages m ON m.approval_id = a.approval_id AND m.channel = c.channel
WHERE a.state = 'open' AND c.channel IS NOT NULL AND c.since <= now()
  AND (a.expires_at IS NULL OR a.expires_at > now())
  AND (m.approval_id IS NULL
       OR m.ts IS NULL AND (m.owner = :owner OR m.taken_at < now() - interval '60 seconds'))
  AND (cardinality(:tenants::text[]) = 0 OR r.tenant = ANY(:tenants))
ORDER BY a.requested_at LIMIT :most;

-- name: take
-- Reserve the posting of one approval in one channel. No row: another replica has reserved it, or it is posted.
INSERT INTO slack_messages AS m (approval_id, channel, owner)
VALUES (:approval_id, :channel, :owner)
ON CONFLICT (approval_id, channel) DO UPDATE SET owner = :owner, taken_at = now()
    WHERE m.ts IS NULL AND (m.owner = :owner OR m.taken_at < now() - interval '60 seconds')
RETURNING approval_id;

-- name: posted
-- Record the message that shows an approval. No row: another replica took over in the meantime.
UPDATE slack_messages SET ts = :ts, shown_state = :showing
WHERE approval_id = :approval_id AND channel = :channel AND owner = :owner AND ts IS NULL
RETURNING approval_id;

-- name: changed
-- Messages that show an earlier state of their approval. The expression is `showing` of the query `approval`.
SELECT m.approval_id, m.channel
FROM slack_messages m JOIN approvals a USING (approval_id)
WHERE m.ts IS NOT NULL AND m.shown_state LIKE 'open%'
  AND m.shown_state <> concat_ws(' ', a.state, cardinality(a.approved_by), a.confirmed_at IS NOT NULL,
                                 coalesce(a.escalates_at <= now(), false),
                                 EXISTS (SELECT FROM reviews v WHERE v.approval_id = a.approval_id))
ORDER BY a.requested_at LIMIT :most;

-- name: lock
-- Lock one message until the end of the transaction. No row: another replica has locked it.
SELECT ts, shown_state FROM slack_messages
WHERE approval_id = :approval_id AND channel = :channel AND ts IS NOT NULL
FOR UPDATE SKIP LOCKED;

-- name: updated
-- Record which state of the approval a message shows now.
UPDATE slack_messages SET shown_state = :showing WHERE approval_id = :approval_id AND channel = :channel;

-- name: forget
-- Forget a message that was deleted in Slack. An open approval is then posted again.
DELETE FROM slack_messages WHERE approval_id = :approval_id AND channel = :channel;

-- name: approval
-- Everything that a card shows of one approval.
SELECT a.approval_id, a.run_id, a.call_id, a.about, a.tool, a.tier, a.arguments::text AS arguments, a.digest, a.rule,
       a.reason, a.state, a.requested_at, a.expires_at, a.closed_at, a.needed, a.roles, a.approved_by, a.escalates_at,
       a.escalate_roles, a.subject, a.tainted, a.repeat_most, a.origins::text AS origins,
       a.confirmed_at IS NOT NULL AS confirmed, coalesce(a.escalates_at <= now(), false) AS escalated,
       concat_ws(' ', a.state, cardinality(a.approved_by), a.confirmed_at IS NOT NULL,
                 coalesce(a.escalates_at <= now(), false), v.approval_id IS NOT NULL) AS showing,
       v.agent || CASE v.verdict WHEN 'approve' THEN ' says yes: ' WHEN 'reject' THEN ' says no: '
                                 ELSE ' gave no opinion: ' END || v.reason AS review,
       r.agent, r.tenant, r.requester,
       coalesce((SELECT sum(s.usd_micros) FROM steps s WHERE s.run_id = a.run_id), 0)::bigint AS usd_micros,
       (SELECT n.approval_id FROM approvals n
        WHERE n.run_id = a.run_id AND n.call_id = a.call_id AND n.supersedes = a.approval_id LIMIT 1) AS superseded_by,
       (SELECT e.by FROM endorsements e
        WHERE a.about = 'endorse' AND e.run_id = a.run_id AND e.at >= a.requested_at
        ORDER BY e.at LIMIT 1) AS endorsed_by,
       (SELECT coalesce(json_agg(json_build_object('by', d.by, 'verdict', d.verdict, 'reason', d.reason,
                                                   'arguments', d.arguments::text, 'at', d.at, 'proof', d.proof)
                                 ORDER BY d.at), '[]')::text
        FROM decisions d WHERE d.approval_id = a.approval_id) AS decisions
FROM approvals a
JOIN runs r USING (run_id)
LEFT JOIN reviews v USING (approval_id)
WHERE a.approval_id = :approval_id;

-- name: notices
-- Alarms of the last day that a channel does not show yet and this replica may post (as in the query `due`).
SELECT a.alarm_id, a.run_id, r.agent, a.kind, a.body::text AS body
FROM alarms a
JOIN runs r USING (run_id)
LEFT JOIN slack_alarms m ON m.alarm_id = a.alarm_id AND m.channel = :channel
WHERE a.at > now() - interval '1 day'
  AND (m.alarm_id IS NULL OR m.ts IS NULL AND (m.owner = :owner OR m.taken_at < now() - interval '60 seconds'))
  AND (cardinality(:tenants::text[]) = 0 OR r.tenant = ANY(:tenants))
ORDER BY a.at LIMIT :most;

-- name: take_notice
-- Reserve the posting of one alarm in one channel. No row: another replica has reserved it, or it is posted.
INSERT INTO slack_alarms AS m (alarm_id, channel, owner)
VALUES (:alarm_id, :channel, :owner)
ON CONFLICT (alarm_id, channel) DO UPDATE SET owner = :owner, taken_at = now()
    WHERE m.ts IS NULL AND (m.owner = :owner OR m.taken_at < now() - interval '60 seconds')
RETURNING alarm_id;

-- name: notice_posted
-- Record the message that shows an alarm.
UPDATE slack_alarms SET ts = :ts WHERE alarm_id = :alarm_id AND channel = :channel AND owner = :owner AND ts IS NULL;
