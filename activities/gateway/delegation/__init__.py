"""Delegation: a call that starts a sub-agent."""
