"""`stanchion budgets`, `caps`, `cost` and the budget part of `resume`."""
