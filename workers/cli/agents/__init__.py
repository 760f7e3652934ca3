"""The commands of `stanchion agents`."""
