"""Admitting runs and writing down how they ended."""
