"""Rollbacks: runs that undo the effects of another run. Their calls come from that run's record, not from a model."""
