"""The pytest plugin of fastapi_jobs: the fixture `jobs_test`, and what `BackendConformance` needs.

pytest imports it in every project: nothing heavy may be loaded until a test asks for a fixture.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest


@pytest.fixture
def jobs_test_settings() -> Mapping[str, Any]:
    """Settings of the apps under test; override it to give some, such as `database_url`."""
    return {}


@pytest.fixture
def jobs_test(
    jobs_test_settings: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Jobs under test: recorded in a fresh store, run when the test says so. A `JobsTest`."""
    from fastapi_jobs.testing import JobsTest

    with JobsTest(tmp_path_factory.mktemp("jobs"), **jobs_test_settings) as kit:
        yield kit


@pytest.fixture(scope="class")
def fastapi_jobs_backend_rig(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The started app of one `BackendConformance`."""
    from fastapi_jobs.testing.conformance.rig import backend_rig

    suite = request.cls
    folder = tmp_path_factory.mktemp("backend")
    with backend_rig(
        suite.backend, folder, database_url=suite.database_url, settings=suite.settings
    ) as rig:
        yield rig
