"""`python -m fastapi_jobs` is `fastapi-jobs`."""

from fastapi_jobs.cli import main

if __name__ == "__main__":
    main()
