"""The budget ledger: what may be used, by whom, in which time; reserved before, settled after."""
