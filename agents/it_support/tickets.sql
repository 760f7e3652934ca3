-- name: open_tickets
-- Open tickets, oldest first.
SELECT ticket, subject, requester, status FROM it_support.tickets WHERE status = 'open' ORDER BY ticket LIMIT 50;

-- name: next_ticket
-- The oldest open ticket that is not a follow-up.
SELECT ticket FROM it_support.tickets WHERE status = 'open' AND subject NOT LIKE 'Follow-up%' ORDER BY ticket LIMIT 1;

-- name: ticket
-- One ticket.
SELECT ticket, subject, body, requester, status, resolution FROM it_support.tickets WHERE ticket = :ticket;

-- name: comments
-- The comments of a ticket, oldest first.
SELECT comment, author, text FROM it_support.comments WHERE ticket = :ticket ORDER BY comment;

-- name: requester
-- Who filed a ticket.
SELECT requester FROM it_support.tickets WHERE ticket = :ticket;

-- name: take_key
-- Store the key; no row if it is used already. Waits for a transaction that is storing the same key.
INSERT INTO it_support.changes (key, change) VALUES (:key, :change) ON CONFLICT DO NOTHING RETURNING key;

-- name: answer_of
-- What the change with this key returned.
SELECT answer FROM it_support.changes WHERE key = :key;

-- name: keep_answer
-- Store what the change with this key returned.
UPDATE it_support.changes SET answer = :answer WHERE key = :key;

-- name: open_ticket
-- Open a ticket with the next free number.
INSERT INTO it_support.tickets (subject, body, requester) VALUES (:subject, :body, :requester)
RETURNING ticket, status;

-- name: close_ticket
-- Close a ticket; no row if it is closed already.
UPDATE it_support.tickets SET status = 'closed', resolution = :resolution
WHERE ticket = :ticket AND status = 'open'
RETURNING ticket, status;

-- name: reopen_ticket
-- Open a closed ticket again; no row if it is open already.
UPDATE it_support.tickets SET status = 'open', resolution = NULL
WHERE ticket = :ticket AND status = 'closed'
RETURNING ticket, status;

-- name: add_comment
-- Add a comment; no row if there is no such ticket.
INSERT INTO it_support.comments (ticket, author, text)
SELECT ticket, :author, :text FROM it_support.tickets WHERE ticket = :ticket
RETURNING comment, ticket, text;

-- name: withdraw_comment
-- Delete a comment; no row if another author made it.
DELETE FROM it_support.comments WHERE comment = :comment AND author = :author
RETURNING comment, ticket, text;
