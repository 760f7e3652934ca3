"""Agent definitions: reads them from YAML, resolves their tools, and stores versions by their content's hash."""
