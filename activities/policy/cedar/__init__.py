"""Policies written in Cedar: parses, checks, stores and evaluates them."""
