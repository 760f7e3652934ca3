"""Budgets of open runs: alarms, typical cost, and grants by which people add to a budget."""
