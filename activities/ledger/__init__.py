"""The budget ledger: caps on use per scope and period; amounts are reserved before use and settled after it."""
