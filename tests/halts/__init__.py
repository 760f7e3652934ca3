"""The off switch: halts at every scope, the watch, lifting, drills."""
