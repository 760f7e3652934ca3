"""Effects: making things happen, once. Implements the ports that `workflows` declares; imported only by `workers`."""
