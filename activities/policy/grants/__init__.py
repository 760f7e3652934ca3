"""Grants of an agent's definition: constraints on arguments, and which of them a call fits."""
