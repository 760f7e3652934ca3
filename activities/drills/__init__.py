"""Drills: decoy runs that act on a decoy, are halted, and are measured by the decoy's own clock."""
