"""Disasters that agents are known for, played against the whole of the defence, and against each part of it alone."""
