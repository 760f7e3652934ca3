"""Effects: makes things happen, at most once. Implements the ports of `workflows`; imported by `workers`."""
