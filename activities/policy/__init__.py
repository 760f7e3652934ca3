"""Deciding about a call. Pure: no clock, no I/O, no logging."""
