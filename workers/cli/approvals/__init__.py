"""`stanchion approvals`, `approvers`, `approve`, `deny` and their like."""
