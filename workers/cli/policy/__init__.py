"""The commands of `stanchion policy`."""
