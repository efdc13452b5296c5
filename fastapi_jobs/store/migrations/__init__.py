"""Alembic's scripts for our tables, under a version table of their own."""
