"""Deterministic: what should happen next. stdlib, pydantic and temporalio only; no clock, no uuid, no random, no I/O.

Read `agent.py` first. Nothing here imports `activities` or `workers`.
"""
