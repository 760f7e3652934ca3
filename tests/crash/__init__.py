"""Killing real worker processes at chosen moments, and counting what really happened to the world."""
