"""Policies written in Cedar: reading, checking, storing and asking them."""
