"""Processes: which roles run where, with which rights. Only this package reads the environment."""
