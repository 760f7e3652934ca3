"""Performs a call: claim, run, settle, recover; and what its result becomes."""
