"""Checks of data: secrets in outgoing text, numbers that drift, items that are all equal."""
