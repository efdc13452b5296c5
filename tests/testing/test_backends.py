"""The public suite, over our own backends."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from fastapi_jobs.testing.backends import BackendConformance
from tests.conftest import leftovers
from tests.servers import wait_until


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """The app of each class outlives its tests; the last test of this file looks for leftovers."""


class TestAsyncio(BackendConformance):
    backend = "asyncio"


class TestThread(BackendConformance):
    backend = "thread"


class TestProcess(BackendConformance):
    backend = "process"
    settings: ClassVar[Mapping[str, Any]] = {"process": {"max_workers": 3}}


class TestImmediate(BackendConformance):
    backend = "immediate"


def test_nothing_is_left_behind() -> None:
    wait_until(lambda: not leftovers(), 30, lambda: f"left behind: {leftovers()}")
