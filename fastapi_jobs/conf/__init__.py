"""The settings of fastapi_jobs: `load()` them, or use the lazy `settings` of this process."""

from fastapi_jobs.conf.describe import Described, describe, from_json, origins, to_json
from fastapi_jobs.conf.lazy import LazySettings, settings
from fastapi_jobs.conf.load import load
from fastapi_jobs.conf.model import QueueSettings, Settings
from fastapi_jobs.conf.urls import hide_password

__all__ = [
    "Described",
    "LazySettings",
    "QueueSettings",
    "Settings",
    "describe",
    "from_json",
    "hide_password",
    "load",
    "origins",
    "settings",
    "to_json",
]
