"""Drills: decoy runs that act on a decoy, are halted, and are measured by the decoy's own clock."""

AGENT = "stanchion-drill"  # whom decoys are runs of; the names of agents that they hand work to begin with it
