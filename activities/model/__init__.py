"""Asking a model what to do next: one neutral vocabulary, one provider per vendor."""
