"""Frozen models that cross a process boundary. They read nothing outside; fields are added, never repurposed."""
