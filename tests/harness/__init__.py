"""What tests share: real services, one database and one task queue per test, and a few tools to call."""
