"""All SQL. `Store` is one database with its writer, its readers and its hints."""

from fastapi_jobs.store.store import Store

__all__ = ["Store"]
