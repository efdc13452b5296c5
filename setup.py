"""Only what pyproject.toml cannot say: every sub-package, plus the two data folders beside it."""

from setuptools import find_packages, setup

DATA = ["fastapi_jobs.settings", "fastapi_jobs.templates"]

setup(packages=[*find_packages(include=["fastapi_jobs", "fastapi_jobs.*"]), *DATA])
