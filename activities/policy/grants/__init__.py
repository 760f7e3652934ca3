"""Grants of an agent's definition: constraints on arguments, and whether a call fits them."""
