"""Attacks on the gateway: a hijacked model, toy services that record what really happened, and benign twins."""
