"""Agent definitions: read from YAML, resolved with their tools, stored by content."""
