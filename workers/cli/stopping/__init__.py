"""The commands `stanchion halt`, `kill`, `halts`, `drill` and `rollback`."""
