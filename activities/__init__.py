"""Activities: perform effects at most once. They implement the ports of `workflows`; `workers` imports them."""
