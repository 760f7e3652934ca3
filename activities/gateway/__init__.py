"""The one door to the world: every tool call passes here, in one order, and takes effect at most once."""
