"""The shape of the code, held by tests: arrows, ports, bans, sizes, names."""
