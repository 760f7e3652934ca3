"""Delegation: a call that becomes another agent's run."""
