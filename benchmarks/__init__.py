"""Figures of fastapi_jobs beside their floors and alternatives: `python -m benchmarks`."""
