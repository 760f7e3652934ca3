"""Budgets of runs that are under way: what is told of them, and what people add to them."""
