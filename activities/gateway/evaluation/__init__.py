"""Evaluates a call: its checks in order, the evidence for its values, and the windows to reserve from."""
