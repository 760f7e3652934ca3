"""Taking back what a run did: a rollback is a run of its own, whose calls our own record plans, and no model."""
