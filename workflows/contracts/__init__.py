"""Frozen models that cross a process boundary. Nothing in them reads the world; fields are added, never repurposed."""
