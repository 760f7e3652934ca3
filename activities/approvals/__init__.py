"""Decisions by people: verified here, stored here, believed by the gateway."""
