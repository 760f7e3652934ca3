"""Evaluates a call: the checks in order, the evidence for where its values came from, the budgets it needs."""
