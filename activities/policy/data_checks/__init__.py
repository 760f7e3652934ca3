"""Checks of data: finds secrets in outgoing text, numbers that drift, and items that are all equal."""
