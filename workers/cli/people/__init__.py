"""The commands `stanchion principals` and `stanchion keys`."""
