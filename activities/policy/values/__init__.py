"""Values in arguments and texts: parses them strictly, finds them in texts, and traces their origins."""
