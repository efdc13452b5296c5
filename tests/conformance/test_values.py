"""Arguments and results come back as they were, through the database and the backend."""

import pytest

from fastapi_jobs.serialization.exact import first_difference
from fastapi_jobs.testing.conformance.both import Kind
from tests.conformance.rig import Rig
from tests.conformance.tasks.values import CASES, ECHOES

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize("name", CASES)
async def test_a_value_comes_back_exactly(rig: Rig, kind: Kind, name: str) -> None:
    value = CASES[name].value
    back = await rig.result(ECHOES[name].of(kind), value)
    assert back == value
    assert type(back) is type(value)
    assert first_difference(value, back) is None


@pytest.mark.parametrize("name", ["model", "tuple", "set", "bytes"])
async def test_the_job_never_shares_the_callers_object(rig: Rig, kind: Kind, name: str) -> None:
    value = CASES[name].value
    back = await rig.result(ECHOES[name].of(kind), value)
    assert back is not value or isinstance(value, bytes)
