"""The shop's own tests: pytest, and of fastapi_jobs only its public testing kit."""
