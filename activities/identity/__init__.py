"""Principals (registered people), their public keys, and the verification of statements that they signed."""
