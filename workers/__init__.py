"""Processes: who runs what, with which rights. The only readers of the environment."""
