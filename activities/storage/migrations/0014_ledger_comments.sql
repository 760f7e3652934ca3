-- What each function of the ledger promises, which rows it locks, and who calls it: shown by \df+ in psql.

COMMENT ON FUNCTION note_cap_breach() IS
    'Promises: records a window that is above its cap, which must never happen. Locks: nothing more. '
    'Called by: the trigger windows_watched.';
COMMENT ON FUNCTION ledger_start(text, timestamptz) IS
    'Promises: the start of the period that the moment lies in, in UTC. Locks: nothing. '
    'Called by: the functions below, and queries that show windows.';
COMMENT ON FUNCTION ledger_window(text, text, text, text, text, text, timestamptz) IS
    'Promises: the id of a window, the same for everyone who names the same window. Locks: nothing. '
    'Called by: ledger_reserve, ledger_members, ledger_breach, and queries that show windows.';
COMMENT ON FUNCTION ledger_reserve(text, text, jsonb, double precision, timestamptz) IS
    'Promises: reserves from all windows or from none; raises SL001 with what is left if one has too little. '
    'Idempotent by hold. Locks: the rows of its windows, in the order of window_id, until the end of the transaction. '
    'Called by: the queries reserve, reserve_next, admit, grant and claim.';
COMMENT ON FUNCTION ledger_breach(jsonb, timestamptz, uuid[]) IS
    'Promises: raises SL001 for the first window that could not be reserved. Locks: nothing. '
    'Called by: ledger_reserve.';
COMMENT ON FUNCTION ledger_members(text, jsonb, timestamptz) IS
    'Promises: the wanted windows, each with the number of members that it has not counted yet, and counts them for this '
    'hold. Locks: all windows of the hold first, in the order of window_id. Called by: ledger_reserve.';
COMMENT ON FUNCTION ledger_forget_members(text, uuid) IS
    'Promises: removes the members of a hold from a window; returns how many are still counted by other holds. '
    'Locks: the removed rows; the caller holds the window. Called by: ledger_end.';
COMMENT ON FUNCTION ledger_end(text, jsonb, text) IS
    'Promises: ends a hold once: frees what it reserved, settles what was used, keeps the excess as overrun; never raises '
    'for an amount. Locks: the hold, then its windows in the order of window_id. '
    'Called by: ledger_settle and ledger_release.';
COMMENT ON FUNCTION ledger_settle(text, jsonb) IS
    'Promises: as ledger_end; without amounts, what was reserved counts as used. Locks: as ledger_end. '
    'Called by: ledger_resolve, and the queries settle and store_response; for reviews, the query that stores one.';
COMMENT ON FUNCTION ledger_release(text) IS
    'Promises: as ledger_end, with nothing used. Locks: as ledger_end. '
    'Called by: ledger_resolve, the query release, and the end of a drill.';
COMMENT ON FUNCTION ledger_resolve(text, boolean, bigint) IS
    'Promises: decides a hold that its owner did not end from what the tables say; frees only what cannot have happened. '
    'Locks: as ledger_end. Called by: ledger_close and the query reconcile.';
COMMENT ON FUNCTION ledger_close(text, bigint) IS
    'Promises: ends all holds of a run that is over. Locks: all their windows first, in the order of window_id. '
    'Called by: the query close.';
