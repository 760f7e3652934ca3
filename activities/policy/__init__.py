"""Evaluates calls: grants, origins of values, data checks, tiers and Cedar policies. Pure, but for `cedar/store.py`."""
