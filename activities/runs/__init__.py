"""Admits runs, stores how they ended, and closes runs that died."""
