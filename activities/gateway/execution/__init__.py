"""Performs a call: claims it, runs the tool, checks and settles the result, recovers after a crash."""
