"""For `celery -A fastapi_jobs.celery_app worker`, Flower, and every tool that wants a Celery app.

Its settings are those of `settings.toml`, found as everywhere.
"""

from fastapi_jobs.celery_worker import worker_app
from fastapi_jobs.conf import load

app = worker_app(load())
