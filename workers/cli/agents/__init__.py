"""`stanchion agents`."""
