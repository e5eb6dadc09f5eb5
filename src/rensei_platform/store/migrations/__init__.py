"""Alembic's migrations of the schema, oldest first."""
