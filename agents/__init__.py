"""Agents that ship, one folder each. Copy `it_support` to write your own."""
