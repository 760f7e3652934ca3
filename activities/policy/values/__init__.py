"""Values in arguments and texts: reading them strictly, finding them, and where they came from."""
