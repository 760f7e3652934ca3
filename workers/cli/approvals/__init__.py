"""The commands with which people decide: `approvals`, `approve`, `reject`, `respond`, `resolve` and others."""
