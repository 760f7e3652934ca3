"""Drills: start decoy runs that act on a decoy service, halt them, and measure when their last effects arrive."""

AGENT = "stanchion-drill"  # the agent of decoy runs, and the prefix of the names of their sub-agents
