"""Agent definitions: reads them from YAML, resolves their tools, and stores versions by the hash of their content."""
