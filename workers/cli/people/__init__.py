"""`stanchion principals` and `stanchion keys`."""
