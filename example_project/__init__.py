"""A small shop that shows fastapi_jobs at work: `python -m example_project`."""
