"""Postgres: connection pool, migrations, named queries from `.sql` files, the transcript, and the trace log."""
