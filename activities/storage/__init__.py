"""Postgres: connection, migrations, named queries, the transcript and its blobs. SQL lives in `.sql` files."""
