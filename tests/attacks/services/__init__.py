"""Toy services, one per file: mail, bank, files, web, calendar, chat, desk, accounts. Careless on purpose, as real
ones are: whatever is let through to them takes effect in the world of its run."""
