"""`stanchion halt`, `kill`, `halts`, `drill`, `rollback`."""
