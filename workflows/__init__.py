"""Deterministic code that decides what happens next: no clock, no uuid, no random, no I/O.

Read `agent.py` first. Imports the standard library, pydantic and temporalio, never `activities` or `workers`.
"""
