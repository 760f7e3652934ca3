"""The gateway: every tool call passes through it; it checks the call and performs it at most once."""
