"""Decisions by people: verifies and stores them. The gateway trusts what is stored."""
