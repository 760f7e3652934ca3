"""Rollbacks: runs that undo the effects of another run, with calls from its record instead of from a model."""
