"""Finds workers that died and lets their runs go on within seconds, without waiting for time-outs."""
