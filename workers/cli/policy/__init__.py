"""`stanchion policy`."""
