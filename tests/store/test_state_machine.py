"""Random histories of one store on both databases, compared step by step with a small model.

A failing history is printed as a program, with the blob that replays it. For a night's worth of
them: FASTAPI_JOBS_TEST_HISTORIES=5000.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import leftovers
from tests.servers import PostgresServer, wait_until
from tests.store.driving import open_store
from tests.store.machine import StoreMachine

QUICK = settings(
    max_examples=70,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    verbosity=Verbosity.normal,
)
HISTORIES = int(os.environ.get("FASTAPI_JOBS_TEST_HISTORIES", "60"))
DEEP = settings(QUICK, max_examples=HISTORIES, stateful_step_count=80)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """The stores outlive each test here; `machines` looks for leftovers after the last one."""


@pytest.fixture(scope="module")
def machines(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[dict[str, type[StoreMachine]]]:
    """One machine for each database, on a store that all its histories share."""
    with ExitStack() as stack:
        file = tmp_path_factory.mktemp("machine") / "jobs.db"
        urls = {
            "sqlite": f"sqlite:///{file}",
            "postgresql": stack.enter_context(postgres.fresh_database()),
        }
        found = {}
        for name, url in urls.items():
            store = stack.enter_context(open_store(url))
            found[name] = type(f"Store_{name}", (StoreMachine,), {"store": store})
        yield found
    wait_until(lambda: not leftovers(), 10, lambda: f"left behind: {leftovers()}")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_random_histories(machines: dict[str, type[StoreMachine]], database: str) -> None:
    run_state_machine_as_test(machines[database], settings=QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_many_random_histories(machines: dict[str, type[StoreMachine]], database: str) -> None:
    run_state_machine_as_test(machines[database], settings=DEEP)
