"""Evaluates a call: the checks in order, the evidence for the origins of its values, the windows to reserve from."""
