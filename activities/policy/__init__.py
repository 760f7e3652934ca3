"""Evaluates calls: grants, origins of values, data checks, tiers, policies. Pure, but for `cedar/store.py`."""
