"""Detects dead workers and lets their runs go on within seconds, without waiting for Temporal's time-outs."""
